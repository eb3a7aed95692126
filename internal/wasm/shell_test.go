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

// TestShellDeclaresTheSame compares every module of the specification's test suite with its shell.
func TestShellDeclaresTheSame(t *testing.T) {
	shells := 0
	specModules(t, func(name string, module []byte) {
		m, err := wasm.Decode(module)
		if err != nil {
			return
		}
		shell, err := wasm.Shell(m.Encode(), "mark", []byte(name))
		require.NoError(t, err, name)
		got, err := wasm.Decode(shell)
		require.NoError(t, err, name)
		require.Len(t, got.Bodies, len(m.Bodies), name)
		for i := range got.Bodies {
			require.Equal(t, []byte{byte(wasm.OpUnreachable), byte(wasm.OpEnd)}, got.Bodies[i].Code,
				name)
			require.Zero(t, got.Bodies[i].Locals, name)
		}
		last := len(got.Custom) - 1
		require.Equal(t, "mark", got.Custom[last].Name, name)
		require.Equal(t, name, string(got.Custom[last].Payload))
		m.Bodies, m.Custom, got.Bodies, got.Custom = nil, nil, nil, nil
		require.Equal(t, m, got, name)
		shells++
	})
	require.Greater(t, shells, 1000)
}

func TestShellKeepsNamesOfFunctions(t *testing.T) {
	const module, functions, locals = "\x00\x02\x01m", "\x01\x04\x01\x00\x01f",
		"\x02\x06\x01\x00\x01\x00\x01x"
	names := "\x04name" + module + functions + locals
	shell, err := wasm.Shell([]byte(header+section(0, "\x05other")+section(0, names)), "mark", nil)
	require.NoError(t, err)
	got, err := wasm.Decode(shell)
	require.NoError(t, err)
	require.Len(t, got.Custom, 2)
	require.Equal(t, wasm.NameSection, got.Custom[0].Name)
	require.Equal(t, module+functions, string(got.Custom[0].Payload))
}

func TestShellOfWhatIsNoModule(t *testing.T) {
	for name, module := range map[string]string{
		"nothing":           "",
		"no magic number":   "nothing but text",
		"section cut off":   header + "\x0a\x05\x01",
		"more code than is": header + section(10, "\x05\x02\x00\x0b"),
		"name cut off":      header + section(0, "\x05na"),
		"names cut off":     header + section(0, "\x04name\x01\x09"),
	} {
		_, err := wasm.Shell([]byte(module), "mark", nil)
		require.ErrorContains(t, err, "shell: ", name)
	}
}
