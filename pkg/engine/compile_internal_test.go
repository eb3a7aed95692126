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

package engine

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// A module is weighed when it is compiled, and not again when its code is found.
func TestModulesAreWeighedWhereTheyAreCompiled(t *testing.T) {
	abi := &ABI{Name: "weighed"}
	binary := caller("fd_close", HostFunction{Params: []ValueType{I32}, Results: []ValueType{I32}})
	directory := filepath.Join(t.TempDir(), "compiled")
	for _, test := range []struct {
		what    string
		options Options
		weighed int
	}{
		{"first", Options{CacheDirectory: directory}, 1},
		{"from disk", Options{CacheDirectory: directory}, 0},
		{"other bounds",
			Options{
				CacheDirectory: directory,
				Limits:         Limits{Compilation: CompilationLimits{Functions: 100}},
			}, 1},
		{"nothing kept", Options{}, 1},
		{"interpreted", Options{CacheDirectory: directory, Interpreter: true}, 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			test.options.Compilation = InProcess
			e, err := New(test.options)
			require.NoError(t, err)
			m := &Module{
				engine: e,
				digest: Digest(binary),
				abi:    abi,
				limits: e.limits,
				budget: e.budget,
			}
			require.NoError(t, m.rewrite(binary))
			weigh, weighed := m.rewritten.Weigh, 0
			m.rewritten.Weigh = func() (*weight.Weight, error) {
				weighed++
				return weigh()
			}
			require.NoError(t, m.compile(t.Context()))
			require.Equal(t, test.weighed, weighed)
			m.freeDataImage()
			m.freeCode()
			require.NoError(t, e.Close())
		})
	}
}
