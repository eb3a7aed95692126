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
	"fmt"
	"maps"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// The features of WebAssembly beyond version 1.0, with the names of their proposals
// (https://webassembly.org/features).
const (
	featureBulkMemory     = "bulk-memory"
	featureCompactImports = "compact-import-section"
	featureExtendedConst  = "extended-const"
	featureFunctionRefs   = "function-references"
	featureMultiValue     = "multi-value"
	featureReferenceTypes = "reference-types"
	featureSaturating     = "saturating-float-to-int"
	featureSignExtension  = "sign-extension"
	featureSIMD           = "simd"
	featureTailCalls      = "tail-calls"
	featureMutableGlobals = "mutable-globals"
)

// features returns the features that a module uses.
func features(m *wasm.Module) ([]string, error) {
	found := map[string]bool{}
	for n := range m.Types {
		if len(m.Types[n].Results) > 1 {
			found[featureMultiValue] = true
		}
	}
	if m.HasCompactImports() {
		found[featureCompactImports] = true
	}
	if slices.ContainsFunc(constants(m), wasm.ConstExpr.IsExtended) {
		found[featureExtendedConst] = true
	}
	globals := m.GlobalTypes()
	for _, e := range m.Exports {
		if e.Kind == wasm.ExternGlobal && globals[e.Index].Mutable {
			found[featureMutableGlobals] = true
		}
	}
	cursor, types := m.Cursor(), m.FunctionTypes()[m.ImportedCount(wasm.ExternFunction):]
	for n := range m.Bodies {
		cursor.Reset(&m.Bodies[n], len(m.Types[types[n]].Params))
		var in wasm.Instruction
		for cursor.Next(&in) {
			if feature := featureOf(&in); feature != "" {
				found[feature] = true
			}
		}
		if err := cursor.Err(); err != nil {
			return nil, fmt.Errorf("function %d: %w", n, err)
		}
	}
	names := slices.Sorted(maps.Keys(found))
	if names == nil {
		names = []string{}
	}
	return names, nil
}

// constants returns the constant expressions of a module.
func constants(m *wasm.Module) (all []wasm.ConstExpr) {
	for n := range m.Tables {
		all = append(all, m.Tables[n].Init)
	}
	for n := range m.Globals {
		all = append(all, m.Globals[n].Init)
	}
	for n := range m.Elements {
		all = append(append(all, m.Elements[n].Offset), m.Elements[n].Exprs...)
	}
	for n := range m.Data {
		all = append(all, m.Data[n].Offset)
	}
	return all
}

// instructionFeatures maps ranges of opcodes to features.
var instructionFeatures = []struct {
	from, to wasm.Opcode
	feature  string
}{
	{wasm.OpReturnCall, wasm.OpReturnCallIndirect, featureTailCalls},
	{wasm.OpCallRef, wasm.OpReturnCallRef, featureFunctionRefs},
	{wasm.OpTableGet, wasm.OpTableSet, featureReferenceTypes},
	{0xc0, 0xc4, featureSignExtension},
	{wasm.OpRefNull, wasm.OpRefFunc, featureReferenceTypes},
	{wasm.OpRefAsNonNull, wasm.OpBrOnNonNull, featureFunctionRefs},
	{0xfc00, 0xfc07, featureSaturating},
	{wasm.OpMemoryInit, wasm.OpTableCopy, featureBulkMemory},
	{wasm.OpTableGrow, wasm.OpTableFill, featureReferenceTypes},
	{0xfd00, 0xfdff, featureSIMD},
}

// featureOf returns the feature of an instruction, or "" for instructions of version 1.0.
func featureOf(in *wasm.Instruction) string {
	if in.Op == wasm.OpBlock || in.Op == wasm.OpLoop || in.Op == wasm.OpIf {
		if in.X != wasm.NoType {
			return featureMultiValue
		}
		return ""
	}
	for _, f := range instructionFeatures {
		if in.Op >= f.from && in.Op <= f.to {
			return f.feature
		}
	}
	return ""
}
