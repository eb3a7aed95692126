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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The samples of an evaluation come to what it burns, by the functions that burn it, however
// code is run. Whether samples are taken has no influence on that.
func TestSampler(t *testing.T) {
	want := run(t, engine.Options{})
	kept := t.TempDir()
	run(t, engine.Options{CacheDirectory: kept})
	for name, options := range map[string]engine.Options{
		"compiled":        {},
		"interpreted":     {Interpreter: true},
		"compiled before": {CacheDirectory: kept},
	} {
		t.Run(name, func(t *testing.T) {
			const every = 1000
			burnt := map[string]int64{}
			all := int64(0)
			options.Sampler = &engine.Sampler{Every: every,
				Sample: func(fuel int64, stack []string) {
					all += fuel
					slices.Reverse(stack)
					burnt[strings.Join(stack, ";")] += fuel
				}}
			require.Equal(t, want, run(t, options))
			require.InDelta(t, want, all, 2*every, "the last portion is not burnt")
			light, heavy := burnt["function 3;light;spin"], burnt["function 3;heavy;spin"]
			require.InDelta(t, light+heavy, all, 4*every)
			require.InDelta(t, float64(heavy)/9, light, 2*every)
		})
	}
}

// Functions that were called last are in a sample, however deep calls are nested; not more often
// than guests are stopped in any case.
func TestSamplerIsBounded(t *testing.T) {
	samples := 0
	m := load(t,
		engine.Options{Sampler: &engine.Sampler{Every: 1 << 40,
			Sample: func(fuel int64, stack []string) {
				samples++
				require.LessOrEqual(t, len(stack), 128)
				require.LessOrEqual(t, fuel, int64(600_000))
			}}, Limits: engine.Limits{Fuel: 20_000_000}}, "burner")
	for range 3 {
		i, err := m.Acquire(t.Context(), engine.Evaluation{Timeout: time.Minute})
		require.NoError(t, err)
		_, err = i.Call("run")
		require.NoError(t, err)
		i.Release()
	}
	require.LessOrEqual(t, samples, 6)
}

// run has the burner burn, and returns how much fuel that took.
func run(t *testing.T, options engine.Options) int64 {
	t.Helper()
	i, err := load(t, options, "burner").
		Acquire(t.Context(), engine.Evaluation{Timeout: time.Minute})
	require.NoError(t, err)
	_, err = i.Call("run")
	require.NoError(t, err)
	return i.Release().Fuel
}
