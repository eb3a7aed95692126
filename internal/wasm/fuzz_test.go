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

package wasm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// FuzzDecode decodes arbitrary input. A module that decodes must encode to one that decodes to the
// same module.
func FuzzDecode(f *testing.F) {
	f.Add((&wasm.Module{}).Encode())
	f.Fuzz(func(t *testing.T, input []byte) {
		m, err := wasm.Decode(input)
		if err != nil {
			return
		}
		walked := walk(m)
		for i := range m.Custom {
			if m.Custom[i].Name != wasm.NameSection {
				continue
			}
			names, err := wasm.RenumberNames(m.Custom[i].Payload, func(index uint32) uint32 {
				return index
			})
			if err == nil {
				again, err := wasm.RenumberNames(names, func(index uint32) uint32 { return index })
				require.NoError(t, err)
				require.Equal(t, names, again)
			}
		}
		encoded := m.Encode()
		again, err := wasm.Decode(encoded)
		require.NoError(t, err)
		require.Equal(t, encoded, again.Encode())
		require.Equal(t, walked == nil, walk(again) == nil)
	})
}
