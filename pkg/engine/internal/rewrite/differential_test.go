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

package rewrite_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

var (
	differentialTime = flag.Duration("differential", 0,
		"CPU time for TestCompilerAgainstInterpreter; 0 is for a few modules")
	differentialSeed = flag.Uint64("differential-seed", 1, "the first seed")
	differentialRaw  = flag.Bool("differential-raw", false,
		"leave what is compiled wrongly for arm64 in the modules")
)

// fewModules is the number of modules when no time is given.
const fewModules = 40

// TestCompilerAgainstInterpreter generates modules from consecutive seeds, and runs them in the
// compiler and in the interpreter as the engine would here. Results, traps, fuel, globals, and
// memory must be the same. It runs for the time it is given, or until it is stopped, and reports
// the seeds of differences.
func TestCompilerAgainstInterpreter(t *testing.T) {
	stop, cancel := signal.NotifyContext(t.Context(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	d := newDifferential(t)
	seed, modules, differences := *differentialSeed, 0, 0
	goesOn := func() bool {
		if *differentialTime == 0 {
			return modules < fewModules
		}
		return stop.Err() == nil && cpuTime() < *differentialTime
	}
	for last := time.Duration(0); goesOn(); seed, modules = seed+1, modules+1 {
		if difference := d.run(generate(entropyOf(seed)), 3); difference != nil {
			differences++
			t.Errorf("seed %d: %v", seed, difference)
		}
		if used := cpuTime(); *differentialTime > 0 && used-last >= time.Minute {
			fmt.Printf(
				"%d modules, %d calls, %d differences, %.0f minutes of CPU time, next seed %d\n",
				modules+1, d.calls, differences, used.Minutes(), seed+1)
			last = used
		}
	}
	t.Logf("%d modules from seed %d, %s", modules, *differentialSeed, d)
	if *differentialTime > 0 {
		fmt.Printf("figure %s_differential_modules %d count\n", runtime.GOARCH, modules)
		fmt.Printf("figure %s_differential_calls %d count\n", runtime.GOARCH, d.calls)
		fmt.Printf("figure %s_differential_cpu_minutes %.1f minutes\n", runtime.GOARCH,
			cpuTime().Minutes())
		fmt.Printf("figure %s_differences %d count\n", runtime.GOARCH, differences)
	}
	require.Positive(t, d.returned)
}

// TestSeedsOfOpenNaNs runs modules that once kept the bits of a NaN in a vector, which the engines
// may choose, and then stored them as integers.
func TestSeedsOfOpenNaNs(t *testing.T) {
	d := newDifferential(t)
	for _, seed := range []uint64{2685, 3166, 3927, 5643} {
		require.NoError(t, d.run(generate(entropyOf(seed)), 3), "seed %d", seed)
	}
}

// TestCorpusCompiledAgainstInterpreted does the same with all modules in the repository: those of
// tests, fuzzing, attacks, and the specification. Their imports do nothing.
func TestCorpusCompiledAgainstInterpreted(t *testing.T) {
	d := newDifferential(t)
	modules := 0
	check := func(name string, module []byte) {
		if !d.runs(t, module) {
			return
		}
		modules++
		for _, argument := range []uint64{3, math.MaxUint64 - 1} {
			if difference := d.run(module, argument); difference != nil {
				t.Errorf("%s: %v", name, difference)
			}
		}
	}
	for _, pattern := range []string{
		"testdata/*.wasm", "testdata/typed/*.wasm", "../../testdata/*.wasm",
		"../../../../test/wat/*.wasm", "../../../../test/wat/*/*.wasm",
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			module, err := os.ReadFile(file)
			require.NoError(t, err)
			check(file, module)
		}
	}
	specModules(t, check)
	t.Logf("%d modules, %s", modules, d)
	require.Greater(t, modules, 1000)
}

// runs reports whether a module can be run: it can be rewritten, fits the bounds, and imports only
// functions.
func (d *differential) runs(t *testing.T, module []byte) bool {
	t.Helper()
	result, err := rewrite.Module(module, d.options)
	if err != nil || !compiles(t, result.Module) {
		return false
	}
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	return !slices.ContainsFunc(m.Imports, func(i wasm.Import) bool {
		if i.Kind != wasm.ExternFunction || i.Module == "" {
			return true
		}
		t := &m.Types[i.TypeIndex]
		return slices.ContainsFunc(slices.Concat(t.Params, t.Results),
			func(vt wasm.ValueType) bool {
				return !slices.Contains(generatedTypes, vt.Code)
			})
	})
}

// cpuTime returns the processor time that this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// entropyOf returns the bytes from which a module is generated. They depend only on the seed.
func entropyOf(seed uint64) []byte {
	source := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	entropy := make([]byte, 100+source.IntN(4000))
	for i := range entropy {
		entropy[i] = byte(source.Uint32())
	}
	return entropy
}
