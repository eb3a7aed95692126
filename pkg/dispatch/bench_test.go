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

package dispatch_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// BenchmarkValidate evaluates the creation of a 9 KB Pod with policies in Rust. The difference
// between the cases shows what one more policy allocates.
func BenchmarkValidate(b *testing.B) {
	b.Chdir("../..")
	directory := b.TempDir()
	require.NoError(b, sample.WriteModules(directory, 1))
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(b, err)
	defer func() { require.NoError(b, e.Close()) }()
	pod, err := sample.Pod()
	require.NoError(b, err)
	attr, interfaces := sample.Creation(pod), sample.ObjectInterfaces()
	for _, policies := range []int{1, 2, 10} {
		b.Run(fmt.Sprintf("policies=%d", policies), func(b *testing.B) {
			specs := sample.PodPolicies(directory, policies)
			for n := range specs {
				specs[n].Module = specs[0].Module
			}
			set, err := sample.Load(b.Context(), e, specs...)
			require.NoError(b, err)
			defer set.Close()
			dispatcher, err := sample.NewDispatcher()
			require.NoError(b, err)
			defer dispatcher.Close()
			dispatcher.Use(set)
			b.ReportAllocs()
			for b.Loop() {
				if err := dispatcher.Validate(b.Context(), attr, interfaces); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
