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

// Imports that are encoded together are read as separate imports, and written as such.
func TestImportsWrittenTogether(t *testing.T) {
	plain := header + nullary + section(2, "\x05"+
		"\x01m\x01a\x00\x00"+"\x01m\x01b\x02\x00\x01"+"\x01n\x01c\x00\x00"+"\x01n\x01d\x00\x00"+
		"\x00\x00\x00\x00")
	together := header + nullary + section(2, "\x03"+
		"\x01m\x00\x7f\x02\x01a\x00\x00\x01b\x02\x00\x01"+"\x01n\x00\x7e\x00\x00\x02\x01c\x01d"+
		"\x00\x00\x00\x00")
	want, err := wasm.Decode([]byte(plain))
	require.NoError(t, err)
	got, err := wasm.Decode([]byte(together))
	require.NoError(t, err)
	require.Equal(t, want.Imports, got.Imports)
	require.Equal(t, want.Encode(), got.Encode())
	require.Equal(t, 4, got.ImportedCount(wasm.ExternFunction))
}
