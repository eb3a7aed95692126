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
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// specModules calls f with every module in wazero's copy of the core specification's test suite,
// and of the proposals that this package supports.
func specModules(t testing.TB, f func(name string, module []byte)) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").
		Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test",
		"spectest")
	for _, suite := range []string{
		"v1", "v2", "tail-call", "extended-const", "typed-function-references",
	} {
		files, err := filepath.Glob(filepath.Join(root, suite, "testdata", "*.wasm"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "no modules of suite %s under %s", suite, root)
		for _, file := range files {
			module, err := os.ReadFile(file)
			require.NoError(t, err)
			f(suite+"/"+filepath.Base(file), module)
		}
	}
}

// walk runs a cursor over every body.
func walk(m *wasm.Module) error {
	types := m.FunctionTypes()
	imported := len(types) - len(m.Functions)
	c := m.Cursor()
	for i := range m.Bodies {
		c.Reset(&m.Bodies[i], len(m.Types[types[imported+i]].Params))
		for in := (wasm.Instruction{}); c.Next(&in); {
			if in.End <= in.Start || in.End > len(m.Bodies[i].Code) {
				panic("an instruction lies outside of its body")
			}
		}
		if err := c.Err(); err != nil {
			return err
		}
	}
	return nil
}

// TestSpecSuiteRoundTrip decodes and encodes the specification's test suite. Its modules are in the
// shortest form, except for a few that test the encoding of integers. For those, the second
// encoding must equal the first.
func TestSpecSuiteRoundTrip(t *testing.T) {
	decoded, identical := 0, 0
	specModules(t, func(name string, module []byte) {
		m, err := wasm.Decode(module)
		if err != nil || walk(m) != nil {
			return
		}
		decoded++
		encoded := m.Encode()
		if bytes.Equal(module, encoded) {
			identical++
			return
		}
		again, err := wasm.Decode(encoded)
		require.NoError(t, err, name)
		require.Equal(t, encoded, again.Encode(), name)
		require.Less(t, len(encoded), len(module), "%s: only padding may get lost", name)
	})
	t.Logf("%d modules decoded, %d of them identical after encoding", decoded, identical)
	require.Greater(t, identical, 1000)
	require.Less(t, decoded-identical, 50)
}

// TestGoModuleRoundTrip decodes and encodes a module from the Go toolchain, which pads the sizes of
// sections.
func TestGoModuleRoundTrip(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	require.NoError(t,
		os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"hello\") }\n"), 0o600))
	output := filepath.Join(dir, "main.wasm")
	build := exec.Command("go", "build", "-o", output, source)
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	log, err := build.CombinedOutput()
	require.NoError(t, err, "%s", log)
	module, err := os.ReadFile(output)
	require.NoError(t, err)

	m, err := wasm.Decode(module)
	require.NoError(t, err)
	require.NoError(t, walk(m))
	require.Equal(t, sections(module), sections(m.Encode()))
}

// sections splits a module into section ids and payloads, so that the encoded width of sizes does
// not matter.
func sections(module []byte) []string {
	var out []string
	for pos := 8; pos < len(module); {
		id := module[pos]
		pos++
		size, shift := 0, 0
		for more := true; more; shift += 7 {
			size |= int(module[pos]&0x7f) << shift
			more = module[pos]&0x80 != 0
			pos++
		}
		out = append(out, string(rune('0'+id))+string(module[pos:pos+size]))
		pos += size
	}
	return out
}
