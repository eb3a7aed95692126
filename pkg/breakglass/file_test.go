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

package breakglass

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

const (
	protect = wasmadmission.ModeProtect
	monitor = wasmadmission.ModeMonitor
)

// fixture is a break-glass file at half past two at night.
type fixture struct {
	*testing.T
	clock *clocktesting.FakeClock
	notes *notes
	file  *File
}

type notes struct {
	until  time.Time
	events map[string]int
}

func (n *notes) SetBreakGlassUntil(until time.Time) { n.until = until }
func (n *notes) CountBreakGlass(event string)       { n.events[event]++ }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{
		T:     t,
		clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 2, 30, 0, 0, time.UTC)),
		notes: &notes{events: map[string]int{}},
	}
	w.file = New(Options{
		Path:     filepath.Join(t.TempDir(), "break-glass.yaml"),
		Recorder: w.notes,
		Clock:    w.clock,
	})
	return w
}

func (w *fixture) write(content string) {
	w.Helper()
	require.NoError(w, os.WriteFile(w.file.options.Path, []byte(content), 0o600))
	w.file.Update(w.Context())
}

func (w *fixture) requireMode(want wasmadmission.PolicyMode, policies ...string) {
	w.Helper()
	for _, policy := range policies {
		require.Equal(w, want, w.file.Mode(policy, protect), policy)
		require.Equal(w, monitor, w.file.Mode(policy, monitor), policy)
	}
}

func TestNamedPoliciesAreInMonitorMode(t *testing.T) {
	w := newFixture(t)
	w.requireMode(protect, "no-privileged-pods", "other")
	w.file.Update(t.Context())
	require.Empty(t, w.notes.events, "a file that does not exist is nothing special")

	w.write(good)
	w.requireMode(monitor, "no-privileged-pods", "our.registry")
	w.requireMode(protect, "other", "*", "")
	require.Equal(t, map[string]int{"begun": 1}, w.notes.events)
	require.True(t, w.notes.until.Equal(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)))

	w.write(strings.Replace(good, "[no-privileged-pods, our.registry]", `["*"]`, 1))
	w.requireMode(monitor, "no-privileged-pods", "other")

	require.NoError(t, os.Remove(w.file.options.Path))
	w.file.Update(t.Context())
	w.requireMode(protect, "no-privileged-pods", "other")
	require.Equal(t, map[string]int{"begun": 2, "ended": 2}, w.notes.events,
		"each order that begins ends")
	require.Zero(t, w.notes.until)
}

func TestItEndsByItself(t *testing.T) {
	w := newFixture(t)
	w.write(good)
	w.clock.Step(30*time.Minute - time.Nanosecond)
	w.requireMode(monitor, "our.registry")
	w.clock.Step(time.Nanosecond)
	w.requireMode(protect, "our.registry")
	w.file.Update(t.Context())
	require.Equal(t, 1, w.notes.events["ended"])
	require.Zero(t, w.notes.until)
	w.file.Update(t.Context())
	w.requireMode(protect, "our.registry")
	require.Equal(t, 1, w.notes.events["ended"])

	w.write(good + "# again\n")
	w.requireMode(protect, "our.registry")
	require.Equal(t, 1, w.notes.events["begun"], "an order that has passed does not begin")
}

// A name that no policy has lifts nothing, and a server must not say otherwise. A later change of
// policies may add that name.
func TestNamesThatAreNotServed(t *testing.T) {
	w := newFixture(t)
	served := "other"
	w.file.options.Serves = func(name string) bool { return name == served }
	w.write(good)
	w.requireMode(protect, "no-privileged-pods", "our.registry")
	require.Equal(t, map[string]int{"refused": 1}, w.notes.events)
	require.Zero(t, w.notes.until)
	require.ErrorContains(t, w.file.refused,
		`policies: none of ["no-privileged-pods" "our.registry"] is served: write names as `)
	w.file.Update(t.Context())
	require.Equal(t, map[string]int{"refused": 1}, w.notes.events)

	served = "our.registry"
	w.file.Update(t.Context())
	w.requireMode(monitor, "our.registry")
	require.Equal(t, map[string]int{"refused": 1, "begun": 1}, w.notes.events)
}

func TestAFileThatIsNotObeyed(t *testing.T) {
	for name, spoil := range map[string]func(w *fixture){
		"is wrong": func(w *fixture) { w.write("kind: BreakGlass") },
		"is empty": func(w *fixture) { w.write("") },
		"is too large": func(w *fixture) {
			w.write(good + strings.Repeat("#", maxBytes))
		},
		"is over": func(w *fixture) {
			w.write(strings.Replace(good, "2026-01-02", "2026-01-01", 1))
		},
		"ends in more than a day": func(w *fixture) {
			w.write(strings.Replace(good, "2026-01-02", "2026-01-03", 1))
		},
		"others may write": func(w *fixture) {
			require.NoError(w, os.WriteFile(w.file.options.Path, []byte(good), 0o600))
			require.NoError(w, os.Chmod(w.file.options.Path, 0o622))
			w.file.Update(w.Context())
		},
		"is in a directory that others may write": func(w *fixture) {
			require.NoError(w, os.Chmod(filepath.Dir(w.file.options.Path), 0o777))
			w.write(good + "# again\n")
		},
		"is a directory": func(w *fixture) {
			require.NoError(w, os.RemoveAll(w.file.options.Path))
			require.NoError(w, os.Mkdir(w.file.options.Path, 0o700))
			w.file.Update(w.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			spoil(w)
			w.requireMode(protect, "our.registry")
			require.Equal(t, map[string]int{"refused": 1}, w.notes.events)
			w.clock.Step(time.Hour)
			w.file.Update(t.Context())
			require.Equal(t, 1, w.notes.events["refused"], "repeated in the log, but counted once")

			w = newFixture(t)
			w.write(good)
			w.requireMode(monitor, "our.registry")
			spoil(w)
			w.requireMode(protect, "our.registry")
			require.Equal(t, 1, w.notes.events["ended"])
		})
	}
}

// A file that is refused because its end is too far ahead stays refused when the end comes nearer.
func TestARefusedFileDoesNotBeginLater(t *testing.T) {
	w := newFixture(t)
	w.write(strings.Replace(good, "2026-01-02", "2026-01-03", 1))
	w.clock.Step(23 * time.Hour)
	w.file.Update(t.Context())
	w.requireMode(protect, "our.registry")
	w.write(strings.Replace(good, "2026-01-02", "2026-01-03", 1) + "# I mean it\n")
	w.requireMode(monitor, "our.registry")
}

// The end also holds if somebody sets the clock.
func TestClocksThatAreSet(t *testing.T) {
	start := time.Now()
	g := &grant{every: true, until: start.Add(time.Hour).Round(0), end: start.Add(time.Hour)}
	require.False(t, g.ended(start.Add(59*time.Minute)))
	require.True(t, g.ended(start.Add(time.Hour)))
	require.True(t, g.ended(start.Add(2*time.Hour).Round(0)), "set forward")
	back := &grant{
		every: true,
		until: start.Add(100 * time.Hour).Round(0),
		end:   start.Add(time.Hour),
	}
	require.True(t, back.ended(start.Add(time.Hour)),
		"set back: the calendar's end is far, the hour is over")
}

func TestRunSeesTheFileComeAndGo(t *testing.T) {
	w := newFixture(t)
	w.file.options.Clock = clock.RealClock{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.file.Run(ctx)
	}()
	until := time.Now().Add(time.Hour).Format(time.RFC3339)
	require.NoError(t,
		os.WriteFile(w.file.options.Path,
			[]byte(strings.Replace(good, "2026-01-02T04:00:00+01:00", until, 1)), 0o600))
	require.Eventually(t, func() bool { return w.file.Mode("our.registry", protect) == monitor },
		time.Minute, time.Millisecond)
	require.NoError(t, os.Remove(w.file.options.Path))
	require.Eventually(t, func() bool { return w.file.Mode("our.registry", protect) == protect },
		time.Minute, time.Millisecond)
	cancel()
	<-ended
}

func BenchmarkMode(b *testing.B) {
	f := New(Options{})
	f.grant.Store(&grant{
		policies: map[string]bool{"p": true},
		until:    time.Now().Add(time.Hour),
		end:      time.Now().Add(time.Hour),
	})
	for b.Loop() {
		f.Mode("p", protect)
	}
}
