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

package annotate

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// custom builds a custom section.
func custom(name, content string) string {
	body := append(appendSized(nil, []byte(name)), content...)
	return string(appendSized([]byte{customSection}, body))
}

func TestSection(t *testing.T) {
	empty, types := string(preamble), "\x01\x04\x01\x60\x00\x00"
	for _, tc := range []struct{ name, module, want, wantErr string }{
		{
			name: "appended", module: empty + types,
			want: empty + types + custom(abi.MetadataSection, "{}"),
		},
		{
			name: "every older one is replaced, others stay",
			module: empty + custom(abi.MetadataSection, "old") + types + custom("name", "x") +
				custom(abi.MetadataSection, "old"),
			want: empty + types + custom("name", "x") + custom(abi.MetadataSection, "{}"),
		},
		{name: "not a module", module: "hello", wantErr: "not a WebAssembly 1.0 core module"},
		{
			name: "section longer than the module", module: empty + "\x01\x7f",
			wantErr: "section at offset 8: truncated section",
		},
		{
			name: "length of more than 32 bits", module: empty + "\x01\x80\x80\x80\x80\x80\x01",
			wantErr: "truncated section",
		},
		{
			name: "custom section without a name", module: empty + "\x00\x00",
			wantErr: "truncated section",
		},
		{name: "section without a length", module: empty + "\x01", wantErr: "truncated section"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Section([]byte(tc.module), []byte("{}"))
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
		})
	}
}
