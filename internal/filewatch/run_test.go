/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package filewatch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// fakeReports are reports created by a test.
type fakeReports struct {
	reports chan struct{}
	added   chan bool
	also    chan struct{}
	// asked counts how often the code under test has started to wait for a report.
	asked atomic.Int64
}

func (f *fakeReports) watch([]string) bool { return <-f.added }

func (f *fakeReports) changes() <-chan struct{} {
	f.asked.Add(1)
	return f.reports
}

// report sends a report. It returns when the code under test has set its timers and waits for the
// next report.
func (f *fakeReports) report(t *testing.T) {
	t.Helper()
	waitsAfter := func(n int64) {
		require.Eventually(t, func() bool { return f.asked.Load() > n }, time.Minute,
			time.Millisecond)
	}
	waitsAfter(0)
	before := f.asked.Load()
	f.reports <- struct{}{}
	waitsAfter(before)
}

// start starts Run with a fake clock. The returned channel reports the calls of look.
func start(t *testing.T) (*fakeReports, *clocktesting.FakeClock, <-chan time.Time) {
	t.Helper()
	reports := &fakeReports{
		reports: make(chan struct{}),
		added:   make(chan bool),
		also:    make(chan struct{}),
	}
	clock := clocktesting.NewFakeClock(time.Now())
	looks, ended := make(chan time.Time), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		run(ctx, Options{
			Paths:    func() []string { return nil },
			Interval: time.Minute,
			Quiet:    time.Second,
			Also:     reports.also,
			Clock:    clock,
		}, reports,
			func(context.Context) { looks <- clock.Now() })
	}()
	t.Cleanup(func() {
		cancel()
		close(reports.added)
		<-ended
	})
	return reports, clock, looks
}

// waitFor waits until the code under test waits for the clock.
func waitFor(t *testing.T, clock *clocktesting.FakeClock, waiters int) {
	t.Helper()
	require.Eventually(t, func() bool { return clock.Waiters() == waiters }, time.Minute,
		time.Millisecond)
}

func TestEveryIntervalIsALook(t *testing.T) {
	reports, clock, looks := start(t)
	for range 3 {
		reports.added <- false
		before := clock.Now()
		waitFor(t, clock, 1)
		clock.Step(time.Minute)
		require.Equal(t, before.Add(time.Minute), <-looks)
	}
	reports.added <- false
}

func TestAPathThatIsNewIsALook(t *testing.T) {
	reports, clock, looks := start(t)
	reports.added <- true
	require.Equal(t, clock.Now(), <-looks)
	reports.added <- false
}

func TestWhoeverAsksForALookGetsIt(t *testing.T) {
	reports, clock, looks := start(t)
	reports.added <- false
	reports.also <- struct{}{}
	require.Equal(t, clock.Now(), <-looks, "at once")
	reports.added <- false
}

func TestABurstIsOneLook(t *testing.T) {
	reports, clock, looks := start(t)
	began := clock.Now()
	reports.added <- false
	reports.report(t)
	for range 4 {
		clock.Step(900 * time.Millisecond)
		reports.report(t)
	}
	clock.Step(time.Second)
	require.Equal(t, began.Add(4*900*time.Millisecond+time.Second), <-looks)
	reports.added <- false
}

func TestABurstWithoutEndIsCut(t *testing.T) {
	reports, clock, looks := start(t)
	began := clock.Now()
	reports.added <- false
	reports.report(t)
	for range 20 {
		clock.Step(500 * time.Millisecond)
		if clock.Since(began) == longestBurst*time.Second {
			break
		}
		reports.report(t)
	}
	require.Equal(t, began.Add(longestBurst*time.Second), <-looks)
	reports.added <- false
}

// This test uses real files, and a clock whose interval never ends.
func TestChangesOnDisk(t *testing.T) {
	root := t.TempDir()
	write := func(path, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	link := func(target, path string) {
		require.NoError(t, os.Symlink(target, path+".new"))
		require.NoError(t, os.Rename(path+".new", path))
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	write(at("directory", "one.yaml"), "1")
	write(at("modules", "a.wasm"), "1")
	write(at("volume", "..v1", "b.wasm"), "1")
	link("..v1", at("volume", "..data"))
	link("..data/b.wasm", at("volume", "b.wasm"))
	write(at("release1", "policies", "x.yaml"), "1")
	link("release1", at("current"))
	require.NoError(t, os.MkdirAll(at("elsewhere"), 0o700))
	paths := []string{
		at("directory"),
		at("modules", "a.wasm"),
		at("volume", "b.wasm"),
		at("current", "policies"),
		at("elsewhere", "later"),
	}

	// Each call of look sends what it saw. Without a report, there is no call for an hour.
	looks := make(chan string)
	go Run(t.Context(), Options{
		Paths:    func() []string { return paths },
		Interval: time.Hour,
		Quiet:    time.Millisecond,
	}, func(ctx context.Context) {
		select {
		case looks <- contents(paths):
		case <-ctx.Done():
		}
	})
	<-looks // all paths are watched
	for _, change := range []struct {
		name string
		make func()
	}{
		{"a file is written", func() { write(at("directory", "one.yaml"), "2") }},
		{"a file is added", func() { write(at("directory", "two.yaml"), "1") }},
		{"a file is removed", func() {
			require.NoError(t, os.Remove(at("directory", "two.yaml")))
		}},
		{"a file is made readable by all", func() {
			require.NoError(t, os.Chmod(at("directory", "one.yaml"), 0o644))
		}},
		{"a file is replaced", func() {
			write(at("new.wasm"), "2")
			require.NoError(t, os.Rename(at("new.wasm"), at("modules", "a.wasm")))
		}},
		{"a volume is updated", func() {
			write(at("volume", "..v2", "b.wasm"), "2")
			link("..v2", at("volume", "..data"))
		}},
		{"the target of links is written", func() { write(at("volume", "..v2", "b.wasm"), "3") }},
		{"the directory is moved away", func() {
			require.NoError(t, os.Rename(at("directory"), at("away")))
		}},
		{"the directory comes back", func() { write(at("directory", "one.yaml"), "1") }},
		{"a file in the new directory is written", func() {
			write(at("directory", "one.yaml"), "2")
		}},
		{"what was missing appears", func() { write(at("elsewhere", "later"), "1") }},
	} {
		change.make()
		for want, seen := contents(paths), ""; seen != want; {
			select {
			case seen = <-looks:
			case <-time.After(time.Minute):
				require.FailNow(t, "nothing was reported", change.name)
			}
		}
	}
}

// contents describes the content of paths: names, modes and bytes.
func contents(paths []string) (seen string) {
	for _, path := range paths {
		files := []string{path}
		if below, err := filepath.Glob(filepath.Join(path, "*")); err == nil {
			files = append(files, below...)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				continue
			}
			bytes, _ := os.ReadFile(file) // a directory has none
			seen += fmt.Sprintln(file, info.Mode(), string(bytes))
		}
	}
	return seen
}

func TestWhatDoesNotMatter(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "a.wasm")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	targets := targetsOf([]string{file, filepath.Join(root, "directory", "missing")})
	for name, want := range map[string]bool{
		file: true, filepath.Join(root, dataLink): true, root: true,
		filepath.Join(root, "b.wasm"): false, filepath.Join(root, "a.wasm", "below"): false,
		filepath.Dir(root):                          false,
		filepath.Join(root, "directory", "missing"): true,
		filepath.Join(root, "directory", "other"):   false,
	} {
		require.Equal(t, want, matters(targets, name), name)
	}
}
