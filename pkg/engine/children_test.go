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

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// skipWithoutPrograms skips tests that start this binary again if the processor is emulated,
// because the kernel cannot start programs for that processor.
func skipWithoutPrograms(t *testing.T) {
	t.Helper()
	if errors.Is(exec.Command(os.Args[0], "-test.run=^$").Run(), syscall.ENOEXEC) {
		t.Skip("no program for this processor can be started")
	}
}

const undeclaredVariable = "ENGINE_TEST_UNDECLARED"

// TestAProgramHasToDeclareItself runs in a process that has not called ServeCompilations.
func TestAProgramHasToDeclareItself(t *testing.T) {
	if os.Getenv(undeclaredVariable) == "" {
		skipWithoutPrograms(t)
		command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		command.Env = append(os.Environ(), undeclaredVariable+"=1")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "--- PASS: "+t.Name())
		return
	}
	_, err := engine.New(engine.Options{})
	require.ErrorContains(t, err, "call engine.ServeCompilations first in its main function")
	for _, o := range []engine.Options{{Compilation: engine.InProcess}, {Interpreter: true}} {
		load(t, o, "guest")
	}
	_, err = engine.New(engine.Options{Compilation: "elsewhere"})
	require.ErrorContains(t, err, `unknown compilation mode "elsewhere"`)
}

// inChildren returns an engine that compiles in child processes, with its recorder and its log.
func inChildren(t *testing.T, o engine.Options) (*engine.Engine, *notes, *bytes.Buffer) {
	t.Helper()
	skipWithoutPrograms(t)
	n, log := &notes{failures: map[string]int{}}, &bytes.Buffer{}
	o.Compilation, o.Recorder, o.Logger = engine.ChildProcesses, n,
		slog.New(slog.NewTextHandler(log, nil))
	return newEngine(t, o), n, log
}

// answers loads a module that returns 42, and checks that it does.
func answers(t *testing.T, e *engine.Engine) {
	t.Helper()
	m, err := e.Load(t.Context(), binary(t, "names"), testABI)
	require.NoError(t, err)
	defer m.Close()
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		require.EqualValues(t, 42, call(t, i, "answer"))
	})
}

func TestChildrenCompileAndAWarmStartHasNone(t *testing.T) {
	skipWithoutPrograms(t)
	directory := filepath.Join(t.TempDir(), "compiled")
	cold := func(t *testing.T) {
		e, n, _ := inChildren(t, engine.Options{CacheDirectory: directory})
		answers(t, e)
		require.Equal(t, map[string]int{engine.CompilationOK: 1}, n.compilations)
		require.Equal(t, 1, e.Stats().Compilers)
		require.NoError(t, e.Close())
		require.Zero(t, e.Stats().Compilers)
	}
	warm := func(t *testing.T) {
		e, n, _ := inChildren(t, engine.Options{CacheDirectory: directory})
		answers(t, e)
		require.Empty(t, n.compilations)
		require.Zero(t, e.Stats().Compilers)
	}
	t.Run("cold", cold)
	t.Run("warm", warm)
	file := onlyFile(t, directory)
	moveCode(t, directory, file, "0000")
	t.Run("code of another processor", cold)
	require.Equal(t, file, onlyFile(t, directory))
	t.Run("warm again", warm)
}

func onlyFile(t *testing.T, directory string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*", "*", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

func TestChildrenNeedNoDirectoryOfTheCallers(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	left := filepath.Join(temporary, "wasm-admission-compiled-left")
	used := filepath.Join(temporary, "wasm-admission-compiled-used")
	young := filepath.Join(temporary, "wasm-admission-compiled-young")
	for _, directory := range []string{left, used, young} {
		require.NoError(t, os.MkdirAll(filepath.Join(directory, "something"), 0o700))
	}
	// Engines of other processes use one directory and have just made another.
	newEngine(t, engine.Options{CacheDirectory: used})
	for _, directory := range []string{left, used} {
		require.NoError(t, os.Chtimes(directory, time.Time{}, time.Now().Add(-2*time.Hour)))
	}

	requireOnlyOthers := func() {
		names, err := filepath.Glob(filepath.Join(temporary, "*"))
		require.NoError(t, err)
		require.ElementsMatch(t, []string{used, young}, names)
	}
	e, n, _ := inChildren(t, engine.Options{})
	requireOnlyOthers()
	for range 2 {
		answers(t, e)
		// The directory must not stay until the engine ends, because a process may be killed before
		// that.
		requireOnlyOthers()
	}
	require.Equal(t, map[string]int{engine.CompilationOK: 2}, n.compilations, "nothing is kept")
	e, _, _ = inChildren(t, engine.Options{
		Limits: engine.Limits{Compilation: engine.CompilationLimits{FunctionBytes: 1}},
	})
	_, err := e.Load(t.Context(), binary(t, "names"), testABI)
	require.ErrorAs(t, err, new(*weight.Error))
	requireOnlyOthers()

	t.Setenv("TMPDIR", filepath.Join(temporary, "none"))
	_, err = engine.New(engine.Options{})
	require.ErrorContains(t, err,
		"name one (stateDirectory), or compile in this process (compilation.mode: InProcess)")
}

func TestChildrenRefuseDirectoriesThatCannotBeUsed(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	require.NoError(t, os.Mkdir(open, 0o755))
	locked := filepath.Join(t.TempDir(), "locked")
	newEngine(t, engine.Options{CacheDirectory: locked})
	for directory, want := range map[string]string{
		"relative": "not an absolute path", open: "group and others must have no access",
		locked: "is in use by another process",
	} {
		_, err := engine.New(engine.Options{CacheDirectory: directory})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "compilation.mode: InProcess")
	}
}

func TestADirectoryThatGoesAway(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "compiled")
	e, n, log := inChildren(t, engine.Options{CacheDirectory: directory})
	require.NoError(t, os.RemoveAll(directory))
	require.NoError(t, os.WriteFile(directory, nil, 0o600))
	_, err := e.Load(t.Context(), binary(t, "names"), testABI)
	require.ErrorContains(t, err, "load: compiling in a child process: open compiled code ")
	require.NotContains(t, log.String(), "Compiling in memory")
	require.Empty(t, n.compilations)
	require.NoError(t, os.Remove(directory))
	answers(t, e)
}

// TestAKilledChildIsNoWayBack lets the memory limit, set as low as possible, kill a child that
// compiles a merely large module.
func TestAKilledChildIsNoWayBack(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is not bounded")
	}
	e, n, log := inChildren(t,
		engine.Options{Limits: engine.Limits{CompilerBytes: worker.MinMemoryBytes}})
	_, err := e.Load(t.Context(), manyFunctions(4, 40_000), testABI)
	require.ErrorContains(t, err,
		"load: compiling in child processes, the last of which had all of compilation.memory to itself: the process that compiled it ended: ")
	require.ErrorContains(t, err, "set compilation.mode to InProcess")
	require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
	require.ErrorAs(t, err, new(*worker.DiedError))
	require.Contains(t, log.String(), "retrying its last module alone")
	require.NotContains(t, log.String(), "Compiling in memory")
	require.Equal(t, map[string]int{engine.CompilationKilled: 1}, n.compilations)
	answers(t, e)
}

// TestLoadsEndInTime gives modules no time to load.
func TestLoadsEndInTime(t *testing.T) {
	e, n, _ := inChildren(t, engine.Options{Limits: engine.Limits{LoadTimeout: time.Nanosecond}})
	_, err := e.Load(t.Context(), binary(t, "names"), testABI)
	require.ErrorContains(t, err,
		"module was not loaded within 1ns (compilation.timeout): context deadline exceeded")
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	require.NoError(t, e.Close()) // waits for the load, for which nobody else waits anymore
	require.Zero(t, n.compilations[engine.CompilationOK])
}

// A load ends when nobody waits for it anymore, and continues as long as somebody does.
func TestLoadsEndWithTheLastWhoWaits(t *testing.T) {
	e, n, _ := inChildren(t, engine.Options{Limits: engine.Limits{Compilers: 1}})
	module := manyFunctions(4, 2000)
	impatient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	failed := make(chan error)
	go func() {
		_, err := e.Load(impatient, module, testABI)
		failed <- err
	}()
	require.Eventually(t, func() bool { return e.Stats().Compilers == 1 }, time.Minute,
		time.Millisecond)
	patient := make(chan error)
	go func() {
		m, err := e.Load(t.Context(), module, testABI)
		if err == nil {
			m.Close()
		}
		patient <- err
	}()
	giveUp()
	require.ErrorIs(t, <-failed, context.Canceled)
	require.NoError(t, <-patient)
	require.NotZero(t, n.compilations[engine.CompilationOK])

	abandoned, abandon := context.WithCancel(t.Context())
	abandon()
	_, err := e.Load(abandoned, append(module, 0, 2, 1, 'x'), testABI)
	require.ErrorIs(t, err, context.Canceled)
	answers(t, e) // nothing blocks it
}

// manyFunctions returns a module with functions that each do the given number of additions.
func manyFunctions(functions, additions int) []byte {
	leb := func(n int) []byte {
		var b []byte
		for ; n > 127; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	section := func(id byte, content []byte) []byte {
		return append(append([]byte{id}, leb(len(content))...), content...)
	}
	body := []byte{0, 0x41, 0} // no locals; i32.const 0
	for n := range additions {
		body = append(append(append(body, 0x41), leb(n%60)...), 0x6a) // i32.const n; i32.add
	}
	body = append(body, 0x0b)
	code := leb(functions)
	for range functions {
		code = append(append(code, leb(len(body))...), body...)
	}
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{1, 0x60, 0, 1, 0x7f}),
		section(3, append(leb(functions), make([]byte, functions)...)),
		section(10, code),
	}, nil)
}
