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

package inspection

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func inspect(t *testing.T, path string) *Report {
	t.Helper()
	binary, err := os.ReadFile("../../../../" + path)
	require.NoError(t, err)
	report, err := Inspect(path, binary, engine.Limits{})
	require.NoError(t, err)
	return report
}

func TestInspect(t *testing.T) {
	r := inspect(t, "test/policies/allowed-registries/policy.wasm")
	require.Equal(t, "allowed-registries", r.Metadata.Annotations["io.kubewarden.policy.title"])
	require.Contains(t, r.Imports, "wapc.__guest_request(i32, i32)")
	require.Contains(t, r.Exports, "__guest_call(i32, i32) i32")
	require.Contains(t, r.Exports, "memory (memory)")
	require.True(t, r.Resettable)
	require.Empty(t, r.Refused)
	require.False(t, r.HostCalls)
	require.Empty(t, r.HostCapabilities)
	require.EqualValues(t, 128<<20, r.Memory.Limit)
	require.Positive(t, r.Memory.Initial)
}

func TestHostCalls(t *testing.T) {
	r := inspect(t, "test/wat/host-call.wasm")
	require.True(t, r.HostCalls)
	require.Equal(t, []string{"kubernetes/get_resource"}, r.HostCapabilities)
}

func TestMetadataProblem(t *testing.T) {
	r := inspect(t, "pkg/abi/wapc/testdata/guest.wasm")
	require.Nil(t, r.Metadata)
	require.Contains(t, r.MetadataProblem, "the module has no metadata")
}

func TestInstances(t *testing.T) {
	r := inspect(t, "pkg/engine/testdata/tables.wasm")
	require.False(t, r.Resettable)
	require.NotEmpty(t, r.FreshInstances)
	require.Contains(t, r.Features, featureReferenceTypes)

	large := &wasm.Module{Memories: []wasm.Limits{{Min: 4096}}}
	r, err := Inspect("memory", large.Encode(), engine.Limits{})
	require.NoError(t, err)
	require.False(t, r.Resettable)
	require.Equal(t,
		"limit exceeded: 268435456 bytes of linear memory at the start, at most 134217728 are allowed: raise limits.memory",
		r.Refused)

	large = &wasm.Module{
		Tables: []wasm.Table{{Type: wasm.TableType{
			Element: wasm.ValueType{Code: wasm.FuncRef},
			Limits:  wasm.Limits{Min: 2 << 20},
		}}},
	}
	r, err = Inspect("table", large.Encode(), engine.Limits{})
	require.NoError(t, err)
	require.False(t, r.Resettable)
	require.NotEmpty(t, r.Refused)

	require.True(t,
		inspect(t, "pkg/engine/internal/rewrite/testdata/imported_memory.wasm").Memory.Imported)
}

func TestFeatures(t *testing.T) {
	for path, want := range map[string][]string{
		"pkg/engine/internal/rewrite/testdata/tail_recursion.wasm": {featureTailCalls},
		"pkg/engine/internal/rewrite/testdata/bulk.wasm":           {featureBulkMemory},
		"pkg/engine/internal/rewrite/testdata/spin.wasm":           {},
	} {
		require.Equal(t, want, inspect(t, path).Features, path)
	}
}

// This test covers features that a decoded module no longer shows, and those of constants.
func TestFeaturesOutsideOfCode(t *testing.T) {
	compact := "\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" +
		"\x02\x0a\x01\x01m\x00\x7f\x01\x01f\x00\x00"
	r, err := Inspect("compact", []byte(compact), engine.Limits{})
	require.NoError(t, err)
	require.Equal(t, []string{"m.f()"}, r.Imports)
	require.Equal(t, []string{featureCompactImports}, r.Features)

	sum := wasm.ConstExpr{
		byte(wasm.OpI32Const),
		1,
		byte(wasm.OpI32Const),
		2,
		byte(wasm.OpI32Add),
		byte(wasm.OpEnd),
	}
	i32 := wasm.ValueType{Code: wasm.I32}
	r, err = Inspect("extended",
		(&wasm.Module{
			Globals: []wasm.Global{{Type: wasm.GlobalType{Type: i32}, Init: sum}},
		}).Encode(), engine.Limits{})
	require.NoError(t, err)
	require.Equal(t, []string{featureExtendedConst}, r.Features)
}

// The report says whether a server would refuse the module.
func TestRefusedAsByAServer(t *testing.T) {
	require.Contains(t, inspect(t, "test/wat/unknown-import.wasm").Refused,
		"which the host does not provide to waPC guests")
}

func TestNotAModule(t *testing.T) {
	for name, binary := range map[string]string{
		"text":      "hello, world",
		"component": "\x00asm\x0d\x00\x01\x00",
		"broken":    "\x00asm\x01\x00\x00\x00\x01\x7f",
	} {
		_, err := Inspect(name, []byte(binary), engine.Limits{})
		require.Error(t, err, name)
	}
}

// Any file is either described or refused.
func FuzzInspect(f *testing.F) {
	for _, path := range []string{
		"test/wat/host-call.wasm", "pkg/engine/testdata/tables.wasm",
		"pkg/engine/internal/rewrite/testdata/tail_recursion.wasm",
	} {
		binary, err := os.ReadFile("../../../../" + path)
		require.NoError(f, err)
		f.Add(binary)
	}
	f.Fuzz(func(t *testing.T, binary []byte) {
		report, err := Inspect("fuzz", binary, engine.Limits{})
		if err != nil {
			return
		}
		require.Equal(t, len(binary), report.Bytes)
		require.NotNil(t, report.Imports)
		require.False(t, report.Resettable && report.Refused != "")
	})
}

// TestCompilation checks the counts for a module, and a module that exceeds a limit.
func TestCompilation(t *testing.T) {
	r := inspect(t, "test/policies/allowed-registries/policy.wasm")
	names := map[string]bool{}
	for _, c := range r.Compilation {
		names[c.Name] = true
		require.LessOrEqual(t, c.Value, c.Bound, c.Name)
		require.Positive(t, c.Bound, c.Name)
	}
	require.True(t, names["basic blocks"] && names["data segments"] &&
		names["ms of processor time by estimate, most of them"])
	require.NotNil(t, r.Compilation[0].Function)

	many := &wasm.Module{
		Custom: make([]wasm.CustomSection, engine.DefaultLimits.Compilation.CustomSections+1),
	}
	r, err := Inspect("sections", many.Encode(), engine.Limits{})
	require.NoError(t, err)
	require.Contains(t, r.Refused,
		"module is too costly to compile: it has 1025 custom sections, at most 1024 are allowed")
}
