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

	"github.com/wasm-admission/wasm-admission/pkg/engine/wasm"
)

// The features of WebAssembly beyond version 1.0, by the names of their proposals
// (https://webassembly.org/features).
const (
	featureBulkMemory     = "bulk-memory"
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

// featureOf returns the feature that an instruction belongs to, "" for those of version
// 1.0.
func featureOf(in *wasm.Instruction) string {
	switch op := in.Op; {
	case op == wasm.OpBlock || op == wasm.OpLoop || op == wasm.OpIf:
		if in.X != wasm.NoType {
			return featureMultiValue
		}
	case op >= 0xc0 && op <= 0xc4:
		return featureSignExtension
	case op >= 0xfc00 && op <= 0xfc07:
		return featureSaturating
	case op >= wasm.OpMemoryInit && op <= wasm.OpTableCopy:
		return featureBulkMemory
	case op >= wasm.OpTableGrow && op <= wasm.OpTableFill,
		op == wasm.OpTableGet, op == wasm.OpTableSet, op == wasm.OpRefNull, op == wasm.OpRefIsNull, op == wasm.OpRefFunc:
		return featureReferenceTypes
	case op >= 0xfd00:
		return featureSIMD
	case op == wasm.OpReturnCall || op == wasm.OpReturnCallIndirect:
		return featureTailCalls
	case op == wasm.OpCallRef || op == wasm.OpReturnCallRef || op == wasm.OpRefAsNonNull || op == wasm.OpBrOnNull || op == wasm.OpBrOnNonNull:
		return featureFunctionRefs
	}
	return ""
}
