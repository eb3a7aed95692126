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

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const minimal = "protocolVersion: v1\nmutating: false\nrules: []\n"

// custom builds a custom section.
func custom(name, content string) string {
	body := append(appendSized(nil, []byte(name)), content...)
	return string(appendSized([]byte{customSection}, body))
}

func TestMetadataJSON(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want, wantErr string }{
		{name: "keys are sorted", yaml: minimal, want: `{"mutating":false,"protocolVersion":"v1","rules":[]}`},
		{name: "field missing", yaml: "mutating: false\nrules: []\n", wantErr: "the field protocolVersion is missing"},
		{name: "key twice", yaml: minimal + "mutating: true\n", wantErr: "already set"},
		{name: "not an object", yaml: "- a\n", wantErr: "not an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := metadataJSON([]byte(tc.yaml))
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
		})
	}
}

func TestAnnotate(t *testing.T) {
	empty, types := string(preamble), "\x01\x04\x01\x60\x00\x00"
	for _, tc := range []struct{ name, module, want, wantErr string }{
		{name: "appended", module: empty + types, want: empty + types + custom(sectionName, "{}")},
		{
			name:   "every older one is replaced, others stay",
			module: empty + custom(sectionName, "old") + types + custom("name", "x") + custom(sectionName, "old"),
			want:   empty + types + custom("name", "x") + custom(sectionName, "{}"),
		},
		{name: "not a module", module: "hello", wantErr: "not a WebAssembly 1.0 core module"},
		{name: "section longer than the module", module: empty + "\x01\x7f", wantErr: "section at offset 8: truncated section"},
		{name: "length of more than 32 bits", module: empty + "\x01\x80\x80\x80\x80\x80\x01", wantErr: "truncated section"},
		{name: "custom section without a name", module: empty + "\x00\x00", wantErr: "truncated section"},
		{name: "section without a length", module: empty + "\x01", wantErr: "truncated section"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := annotate([]byte(tc.module), []byte("{}"))
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, string(got))
		})
	}
}

func TestRunInPlace(t *testing.T) {
	dir := t.TempDir()
	metadata, module := filepath.Join(dir, "metadata.yml"), filepath.Join(dir, "policy.wasm")
	require.NoError(t, os.WriteFile(metadata, []byte(minimal), 0o600))
	require.NoError(t, os.WriteFile(module, preamble, 0o600))

	require.NoError(t, run(metadata, module, module))
	once, err := os.ReadFile(module)
	require.NoError(t, err)
	require.NoError(t, run(metadata, module, module))
	twice, err := os.ReadFile(module)
	require.NoError(t, err)
	require.Equal(t, once, twice)

	_, section, err := sized(once[len(preamble)+1:])
	require.NoError(t, err)
	require.Empty(t, section)
	body, _, err := sized(once[len(preamble)+1:])
	require.NoError(t, err)
	_, content, err := sized(body)
	require.NoError(t, err)
	require.True(t, json.Valid(content))
}
