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
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// TestGuestsLeaveRoom weighs every guest in the repository. Its counts must be at most a quarter of
// their bounds, which leaves room for larger guests. The two estimates are exceptions. They
// estimate the worst module with the same counts, and small modules, whose bound is low, use a
// larger part of it: the Rust guest uses four fifths.
func TestGuestsLeaveRoom(t *testing.T) {
	guests := 0
	require.NoError(t,
		filepath.WalkDir("../../test/policies", func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".wasm") {
				return err
			}
			guests++
			binary, err := os.ReadFile(path)
			require.NoError(t, err)
			result, err := rewrite.Module(binary, rewrite.Options{
				TickModule: "wasm-admission", TickName: "tick", ExportPrefix: "wasm-admission.",
				MemoryMaxPages: wasm.MaxMemoryPages,
				AdoptMemory:    true, TableMaxEntries: engine.DefaultLimits.TableEntries,
				ExtractData: true, ExportStart: true, LowerReferences: true,
			})
			require.NoError(t, err, path)
			weighed, err := result.Weigh()
			require.NoError(t, err, path)
			for _, c := range weighed.Counts(engine.DefaultLimits.Compilation) {
				most := 0.25
				if strings.Contains(c.Name, "by estimate") {
					most = 0.85
				}
				require.LessOrEqual(t, float64(c.Value), most*float64(c.Bound), "%s: %s of %s",
					path, c.Name, c.Who())
			}
			return nil
		}))
	require.Greater(t, guests, 15)
}

func TestCompilationIsLimited(t *testing.T) {
	e := newEngine(t, engine.Options{
		Limits: engine.Limits{Compilation: engine.CompilationLimits{FunctionBytes: 10}},
	})
	_, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
	require.ErrorContains(t, err, "module is too costly to compile: it has ")
	require.ErrorContains(t, err, "at most 10 are allowed")

	_, err = engine.New(engine.Options{
		Limits: engine.Limits{Compilation: engine.CompilationLimits{Functions: -1}},
	})
	require.ErrorContains(t, err, "bound on functions is -1")
}

// TestBoundsHoldForCodeThatIsKept uses one directory with two different bounds. Neither finds the
// code that was kept under the other.
func TestBoundsHoldForCodeThatIsKept(t *testing.T) {
	for _, where := range []engine.Compilation{engine.InProcess, engine.ChildProcesses} {
		t.Run(string(where), func(t *testing.T) {
			if where == engine.ChildProcesses {
				skipWithoutPrograms(t)
			}
			directory := filepath.Join(t.TempDir(), "compiled")
			load := func(bounds engine.CompilationLimits) (map[string]int, error) {
				n := &notes{failures: map[string]int{}}
				e := newEngine(t, engine.Options{
					Compilation:    where,
					CacheDirectory: directory,
					Recorder:       n,
					Limits:         engine.Limits{Compilation: bounds},
				})
				m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
				if err == nil {
					m.Close()
				}
				require.NoError(t, e.Close())
				return n.compilations, err
			}
			compiled, none := map[string]int{engine.CompilationOK: 1}, map[string]int(nil)
			got, err := load(engine.CompilationLimits{})
			require.NoError(t, err)
			require.Equal(t, compiled, got)
			got, err = load(engine.CompilationLimits{})
			require.NoError(t, err)
			require.Equal(t, none, got)

			for range 2 {
				got, err = load(engine.CompilationLimits{FunctionBytes: 10})
				require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
				require.ErrorContains(t, err, ": load: module is too costly to compile: it has ")
				require.Equal(t, none, got)
			}
			got, err = load(engine.CompilationLimits{FunctionBytes: 10_000})
			require.NoError(t, err)
			require.Equal(t, compiled, got)
			got, err = load(engine.CompilationLimits{})
			require.NoError(t, err)
			require.Equal(t, none, got)
		})
	}
}
