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

package topdown

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
)

// maxResidentMiB limits what a call may add to the resident memory of the process. This includes
// arguments, result, and garbage.
const maxResidentMiB = 64

// inChild is the environment variable that tells the test binary that it is the child.
const inChild = "REGO_BUILTINS_CHILD"

// outcome is the result of the largest calls of a function.
type outcome struct {
	Name        string
	ResidentKiB int64
	// Calls is the number of calls, and Size the size of the largest one.
	Calls, Size int
	// Fuel is the most fuel that a call burned, and PerNanosecond the least that a call paid for
	// its time.
	Fuel          int64
	Microseconds  int64
	PerNanosecond float64
}

// This test calls every provided function with larger and larger arguments until it refuses them.
// The calls run in a child process with limited memory.
func TestCallsTakeLittleMemory(t *testing.T) {
	if os.Getenv(inChild) != "" {
		beTheChild(t)
		return
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(lent)), slices.Collect(maps.Keys(extremes)),
		"each function that is lent has extremes")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCallsTakeLittleMemory$",
		"-test.v")
	child.Env = append(os.Environ(), inChild+"=1")
	output, err := child.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("the processor is emulated: no program for it can be started")
	}
	require.NoError(t, err, "%.4000s", output)
	most, seen := int64(0), 0
	for line := range strings.Lines(string(output)) {
		text, found := strings.CutPrefix(line, "outcome ")
		if !found {
			continue
		}
		var o outcome
		require.NoError(t, json.Unmarshal([]byte(text), &o))
		t.Logf("%-40s %6d KiB %4d calls, size %8d, %11d fuel, %8d us, %6.1f fuel/ns", o.Name,
			o.ResidentKiB, o.Calls, o.Size, o.Fuel, o.Microseconds, o.PerNanosecond)
		require.LessOrEqual(t, o.ResidentKiB, int64(maxResidentMiB<<10), o.Name)
		require.Positive(t, o.Calls, o.Name)
		most, seen = max(most, o.ResidentKiB), seen+1
	}
	require.Equal(t, len(lent), seen)
	fmt.Printf("figure rego_builtins_lent %d count\nfigure rego_builtin_rss_mib_max %d MiB\n", seen,
		(most+1023)>>10)
}

// beTheChild calls all functions while the process has a limit on its memory.
func beTheChild(t *testing.T) {
	const dataBytes = 1 << 30
	require.NoError(t,
		syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: dataBytes, Max: dataBytes}))
	for _, name := range slices.Sorted(maps.Keys(extremes)) {
		o := outcome{Name: name, PerNanosecond: 1e9}
		for _, arguments := range extremes[name] {
			o.grow(t, arguments)
		}
		line, err := json.Marshal(o)
		require.NoError(t, err)
		fmt.Printf("outcome %s\n", line)
	}
}

// grow quadruples the size of a call until it is refused or stops growing. It then narrows down the
// largest call that is not refused.
func (o *outcome) grow(t *testing.T, arguments series) {
	const most = 4 << 20
	made, size := 0, 1
	for last := []string(nil); size < most; made, size = size, 4*size {
		next := arguments(size)
		if size > 1 && slices.Equal(last, next) {
			return
		}
		if last = next; !o.call(t, next) {
			break
		}
	}
	for step := (size - made) / 2; step > made/8; step /= 2 {
		if o.call(t, arguments(made+step)) {
			made += step
		}
	}
}

// call makes a call and reports whether it was allowed.
func (o *outcome) call(t *testing.T, arguments []string) bool {
	debug.FreeOSMemory()
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
	before := resident(t, "VmHWM:")
	var memo any
	paid := int64(0)
	c := &rego.BuiltinCall{
		Context: t.Context(), Memo: &memo, Limit: 4 << 20, Print: func(string) {},
		Burn: func(units int64) error { paid += units; return nil },
	}
	size := 0
	for _, argument := range arguments {
		c.Arguments = append(c.Arguments, []byte(argument))
		size += len(argument)
	}
	start := time.Now()
	_, err := Builtins{UndefinedErrors: true}.Builtin(o.Name)(c)
	took := time.Since(start)
	o.ResidentKiB = max(o.ResidentKiB, resident(t, "VmHWM:")-before)
	if took > time.Millisecond {
		o.PerNanosecond = min(o.PerNanosecond, float64(paid)/float64(took.Nanoseconds()))
	}
	o.Microseconds, o.Fuel = max(o.Microseconds, took.Microseconds()), max(o.Fuel, paid)
	if err == nil {
		o.Calls++
		o.Size = max(o.Size, size)
	}
	return err == nil
}

// resident returns a line of the kernel's report on the memory of the process, in KiB.
func resident(t *testing.T, line string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(status), line)
	require.True(t, found)
	kibibytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	return kibibytes
}
