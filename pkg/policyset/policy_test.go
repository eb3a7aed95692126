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

package policyset_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

func TestSetsAreFreedByTheLast(t *testing.T) {
	loader := newLoader(t)
	set, errs := loader.Load(t.Context(),
		configuration(wasmadmission.Policy{Name: "a", Module: modules(t) + "/accept.wasm"}))
	require.Empty(t, errs)
	require.True(t, set.Acquire())
	require.True(t, set.Acquire())
	set.Close()
	set.Close() // further calls do nothing
	set.Release()
	response, _, err := set.Policies()[0].Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err, "it is still in use")
	require.True(t, response.Accepted)
	set.Release()
	require.False(t, set.Acquire())
}

func TestEmptySet(t *testing.T) {
	set := &policyset.Set{}
	require.True(t, set.Acquire())
	set.Close()
	set.Release()
	require.False(t, set.Acquire())
}

func TestConcurrentAcquireAndClose(t *testing.T) {
	for range 1000 {
		set, done := &policyset.Set{}, make(chan struct{})
		go func() {
			defer close(done)
			for set.Acquire() {
				set.Release()
			}
		}()
		set.Close()
		<-done
		require.False(t, set.Acquire())
	}
}
