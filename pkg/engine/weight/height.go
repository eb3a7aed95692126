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

package weight

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// heights is the change in stack height for each one-byte instruction. It omits instructions whose
// effect depends on types or blocks.
var heights = func() (t [256]int8) {
	fill := func(by int8, from, to int) {
		for op := from; op <= to; op++ {
			t[op] = by
		}
	}
	fill(-1, 0x1a, 0x1a) // drop
	fill(-2, 0x1b, 0x1c) // select
	fill(+1, 0x20, 0x20) // local.get
	fill(-1, 0x21, 0x21) // local.set
	fill(+1, 0x23, 0x23) // global.get
	fill(-1, 0x24, 0x24) // global.set
	fill(-2, 0x26, 0x26) // table.set
	fill(-2, 0x36, 0x3e) // stores
	fill(+1, 0x3f, 0x3f) // memory.size
	fill(+1, 0x41, 0x44) // constants
	fill(-1, 0x46, 0x4f) // comparisons of i32
	fill(-1, 0x51, 0x66) // comparisons of others
	fill(-1, 0x6a, 0x78) // arithmetic of i32
	fill(-1, 0x7c, 0x8a) // arithmetic of i64
	fill(-1, 0x92, 0x98) // arithmetic of f32
	fill(-1, 0xa0, 0xa6) // arithmetic of f64
	fill(+1, 0xd0, 0xd0) // ref.null
	fill(+1, 0xd2, 0xd2) // ref.func
	return t
}()

// vectorHeights is the same for the instructions with prefix 0xfd.
var vectorHeights = func() (t [256]int8) {
	fill := func(by int8, ranges ...[2]int) {
		for _, r := range ranges {
			for op := r[0]; op <= r[1]; op++ {
				t[op] = by
			}
		}
	}
	fill(-1, [2]int{0x00, 0xff}) // two operands, except as below
	fill(0, [][2]int{            // loads and operations with one operand
		{0x00, 0x0a}, {0x0f, 0x16}, {0x18, 0x19}, {0x1b, 0x1b}, {0x1d, 0x1d}, {0x1f, 0x1f},
		{0x21, 0x21}, {0x4d, 0x4d}, {0x53, 0x53},
		{0x5c, 0x64}, {0x67, 0x6a}, {0x74, 0x75}, {0x7a, 0x7a}, {0x7c, 0x81}, {0x83, 0x84},
		{0x87, 0x8a}, {0x94, 0x94},
		{0xa0, 0xa1}, {0xa3, 0xa4}, {0xa7, 0xaa}, {0xc0, 0xc1}, {0xc3, 0xc4}, {0xc7, 0xca},
		{0xe0, 0xe1}, {0xe3, 0xe3},
		{0xec, 0xed}, {0xef, 0xef}, {0xf8, 0xff},
	}...)
	fill(-2, [2]int{0x0b, 0x0b}, [2]int{0x52, 0x52}, [2]int{0x58, 0x5b}) // stores, bitselect
	fill(+1, [2]int{0x0c, 0x0c})                                         // v128.const
	return t
}()

// height returns the change in stack height for an instruction that does not depend on types or
// blocks.
func height(op wasm.Opcode) int {
	switch {
	case op < 0x100:
		return int(heights[op])
	case op >= 0xfd00:
		return int(vectorHeights[op&0xff])
	}
	switch op {
	case wasm.OpMemoryInit, wasm.OpMemoryCopy, wasm.OpMemoryFill, wasm.OpTableInit,
		wasm.OpTableCopy, wasm.OpTableFill:
		return -3
	case wasm.OpTableGrow:
		return -1
	case wasm.OpTableSize:
		return 1
	}
	return 0
}
