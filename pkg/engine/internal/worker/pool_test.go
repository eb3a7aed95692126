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

package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets children do what the module says, which is a word in these tests.
func TestMain(m *testing.M) {
	Serve(func(t Task) error {
		word, argument, _ := strings.Cut(string(t.Module), " ")
		switch word {
		case "write":
			return os.WriteFile(filepath.Join(t.Directory, "result"), append(t.Mark, argument...),
				0o600)
		case "environment":
			return os.WriteFile(filepath.Join(t.Directory, "result"),
				[]byte(strings.Join(os.Environ(), "\n")), 0o600)
		case "fail":
			return errors.New(argument)
		case "panic":
			panic(argument)
		case "exit":
			fmt.Fprintln(os.Stderr, "gone\x1b away")
			os.Exit(3)
		case "exit-once":
			marker := argument
			if _, err := os.Stat(marker); err != nil {
				_ = os.WriteFile(marker, nil, 0o600)
				os.Exit(3)
			}
		case "recurse":
			return fmt.Errorf("recursed %d times", recurse(1))
		case "allocate":
			for {
				hoard = append(hoard, bytes.Repeat([]byte{1}, 1<<20))
			}
		case "large-file":
			f, err := os.Create(filepath.Join(t.Directory, "result"))
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(MinMemoryBytes+1), f.Close())
		case "hang":
			select {}
		}
		return nil
	})
	os.Exit(m.Run())
}

var hoard [][]byte

func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n+1) + 1
}

// skipWithoutPrograms skips tests that start this binary again if the processor is emulated,
// because the kernel cannot start programs for that processor.
func skipWithoutPrograms(t *testing.T) {
	t.Helper()
	if errors.Is(exec.Command(os.Args[0], "-test.run=^$").Run(), syscall.ENOEXEC) {
		t.Skip("no program for this processor can be started")
	}
}

func newPool(t *testing.T, o Options) (*Pool, *bytes.Buffer) {
	t.Helper()
	skipWithoutPrograms(t)
	log := &bytes.Buffer{}
	o.Workers = max(1, o.Workers)
	o.MemoryBytes = max(MinMemoryBytes, o.MemoryBytes)
	o.Timeout = max(o.Timeout, time.Hour)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	p := NewPool(o)
	t.Cleanup(func() {
		p.Close()
		require.Zero(t, p.Running())
	})
	return p, log
}

func (p *Pool) run(ctx context.Context, directory, module string) error {
	return p.Compile(ctx, Task{Module: []byte(module), Mark: []byte("mark "), Directory: directory},
		false, func() error { return nil })
}

func result(t *testing.T, directory string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(directory, "result"))
	require.NoError(t, err)
	return string(content)
}

func TestAChildCompilesSeveralModules(t *testing.T) {
	p, log := newPool(t, Options{})
	require.Zero(t, p.Running(), "no child starts before there is a task")
	directory := t.TempDir()
	large := strings.Repeat("x", 1<<20)
	for range 3 {
		require.NoError(t, p.run(t.Context(), directory, "write "+large))
		require.Equal(t, "mark "+large, result(t, directory))
		require.Equal(t, 1, p.Running())
	}
	require.EqualError(t, p.run(t.Context(), directory, "fail no module\n"), "no module ")
	require.Len(t, p.run(t.Context(), directory, "fail "+large).Error(), maxAnswer)
	require.NoError(t, p.run(t.Context(), directory, "write"))
	require.Equal(t, 1, p.Running(), "a compiler's error does not end the child")
	require.Empty(t, log.String())
	require.ErrorContains(t, p.run(t.Context(), strings.Repeat("d", maxDirectory+1), ""),
		"directory has a path of 4097 bytes: at most 4096")
}

func TestNothingOfTheEnvironmentIsInherited(t *testing.T) {
	t.Setenv("SECRET", "secret")
	p, _ := newPool(t, Options{})
	directory := t.TempDir()
	require.NoError(t, p.run(t.Context(), directory, "environment"))
	require.Equal(t, "GOMAXPROCS=1\nGOGC=off\nGOTRACEBACK=none", result(t, directory))
}

// Of several waiting modules, only the one that kills children is blamed, after a second attempt.
func TestOnlyTheCulpritIsBlamed(t *testing.T) {
	p, _ := newPool(t, Options{Workers: 2, MemoryBytes: 2 * sharedBytes})
	errs := make([]error, 20)
	var group sync.WaitGroup
	for n := range errs {
		module := "write"
		if n == len(errs)/2 {
			module = "exit"
		}
		group.Go(func() { errs[n] = p.run(t.Context(), t.TempDir(), module) })
	}
	group.Wait()
	for n, err := range errs {
		if n == len(errs)/2 {
			require.Equal(t, &DiedError{How: "exit status 3", Said: "gone away"}, err)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestAModuleIsTriedOnceMore(t *testing.T) {
	p, log := newPool(t, Options{})
	prepared := 0
	err := p.Compile(t.Context(), Task{
		Module: []byte("exit-once " + filepath.Join(t.TempDir(), "marker")),
	}, false, func() error {
		prepared++
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 2, prepared)
	require.Contains(t, log.String(), "retrying its last module alone")
	require.Zero(t, p.Running(), "a child that ran alone is not kept")
	unprepared := errors.New("unprepared")
	require.ErrorIs(t, p.Compile(t.Context(), Task{}, false, func() error { return unprepared }),
		unprepared)
}

func TestPanicsEndTheChild(t *testing.T) {
	p, _ := newPool(t, Options{})
	require.Equal(t, &DiedError{How: "exit status 2", Said: "panic: on purpose"},
		p.run(t.Context(), t.TempDir(), "panic on purpose"))
}

func TestStacksAreLimited(t *testing.T) {
	p, _ := newPool(t, Options{MemoryBytes: sharedBytes})
	err := p.run(t.Context(), t.TempDir(), "recurse")
	require.ErrorContains(t, err, "exit status 2")
	require.ErrorContains(t, err, "goroutine stack exceeds 67108864-byte limit")
}

func TestAContextEndsTheChild(t *testing.T) {
	p, _ := newPool(t, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("late")
	time.AfterFunc(time.Millisecond, func() { cancel(late) })
	require.Equal(t, late, p.run(ctx, t.TempDir(), "hang"), "and the module is not tried again")
	require.Zero(t, p.Running())
	require.Equal(t, late, p.run(ctx, t.TempDir(), "write"))
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
}

func TestIdleChildrenEnd(t *testing.T) {
	p, _ := newPool(t, Options{Idle: time.Millisecond})
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
	require.Eventually(t, func() bool { return p.Running() == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
}

// A child that was killed while it was idle, for example by a kernel short of memory, blames no
// module.
func TestIdleChildrenAreKilled(t *testing.T) {
	p, _ := newPool(t, Options{})
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
	p.idle[0].kill()
	<-p.idle[0].exited
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
}

func TestAClosedPoolStartsNothing(t *testing.T) {
	p, _ := newPool(t, Options{})
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
	p.Close()
	require.Zero(t, p.Running())
	require.ErrorIs(t, p.run(t.Context(), t.TempDir(), "write"), ErrClosed)
}

func TestWorkersFitIntoMemory(t *testing.T) {
	for _, test := range []struct{ workers, memory, want int }{
		{8, 1 << 30, 4}, {2, 1 << 30, 2}, {8, MinMemoryBytes, 1},
	} {
		require.Equal(t, test.want,
			NewPool(Options{Workers: test.workers, MemoryBytes: int64(test.memory)}).slots.Size())
	}
}

func TestAnswersAreChecked(t *testing.T) {
	for answer, want := range map[string]string{
		"":                      "EOF",
		"\x02":                  "answer begins with 2",
		"\x01\x00":              "unexpected EOF",
		"\x01\xff\xff\xff\xff":  "4294967295 bytes are announced, at most 4096 are possible",
		"\x01\x02\x00\x00\x00a": "unexpected EOF",
	} {
		_, err := readAnswer(strings.NewReader(answer))
		require.EqualError(t, err, want)
	}
}
