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
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// isNotable reports whether [wasm.Cursor.NextNotable] must not skip the instruction.
func isNotable(op wasm.Opcode) bool {
	return op >= wasm.OpBlock && op <= wasm.OpBrTable || op >= wasm.OpCall &&
		op <= wasm.OpReturnCallRef || op == wasm.OpSelectTyped ||
		op >= wasm.OpGlobalGet && op <= wasm.OpTableSet || op == wasm.OpMemorySize ||
		op == wasm.OpMemoryGrow ||
		op >= wasm.OpRefNull && op != wasm.OpRefIsNull
}

// notable walks over a body. It returns the notable instructions and the error of the walk.
func notable(c *wasm.Cursor, body *wasm.Body, params int,
	next func(*wasm.Instruction) bool) (found []wasm.Instruction, err error) {
	c.Reset(body, params)
	for in := (wasm.Instruction{}); next(&in); in = (wasm.Instruction{}) {
		if isNotable(in.Op) {
			found = append(found, in)
		}
	}
	return found, c.Err()
}

// TestNextNotable compares the two ways to walk over all code of the specification's test suite,
// unchanged and damaged.
func TestNextNotable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	bodies, wrong := 0, 0
	specModules(t, func(name string, module []byte) {
		m, err := wasm.Decode(module)
		if err != nil {
			return
		}
		types, c := m.FunctionTypes(), m.Cursor()
		for i := range m.Bodies {
			params := len(m.Types[types[len(types)-len(m.Functions)+i]].Params)
			for damage := range 5 {
				body := m.Bodies[i]
				body.Code = slices.Clone(body.Code)
				switch at := random.IntN(len(body.Code)); damage {
				case 1, 2, 3:
					body.Code[at] = byte(random.Uint32())
				case 4:
					body.Code = body.Code[:at]
				}
				want, wantErr := notable(c, &body, params, c.Next)
				got, err := notable(c, &body, params, c.NextNotable)
				require.Equal(t, wantErr, err, "%s: %x", name, body.Code)
				require.Equal(t, want, got, "%s: %x", name, body.Code)
				bodies++
				if err != nil {
					wrong++
				}
			}
		}
	})
	require.Greater(t, bodies, 10_000)
	require.Greater(t, wrong, 1000)
}
