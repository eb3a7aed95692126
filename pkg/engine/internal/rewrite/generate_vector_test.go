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

package rewrite_test

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// vector returns the opcode with the given number after the prefix.
func vector(n byte) wasm.Opcode { return 0xfd00 | wasm.Opcode(n) }

// vectorRange is a range of opcodes, both ends included.
type vectorRange struct{ first, last byte }

// The vector instructions, by operand and result types. Those that compute with float lanes may
// return any NaN.
var (
	vectorBinary = []vectorRange{
		{0x0e, 0x0e}, {0x23, 0x4c}, {0x4e, 0x51}, {0x65, 0x66}, {0x6e, 0x73}, {0x76, 0x79},
		{0x7b, 0x7b}, {0x82, 0x82},
		{0x85, 0x86}, {0x8e, 0x93}, {0x95, 0x99}, {0x9b, 0x9f}, {0xae, 0xae}, {0xb1, 0xb1},
		{0xb5, 0xba}, {0xbc, 0xbf},
		{0xce, 0xce}, {0xd1, 0xd1}, {0xd5, 0xdf},
	}
	vectorUnary = []vectorRange{
		{0x4d, 0x4d}, {0x60, 0x62}, {0x7c, 0x81}, {0x87, 0x8a}, {0xa0, 0xa1}, {0xa7, 0xaa},
		{0xc0, 0xc1}, {0xc7, 0xca},
		{0xe0, 0xe1}, {0xec, 0xed}, {0xf8, 0xff},
	}
	vectorShift = []vectorRange{{0x6b, 0x6d}, {0x8b, 0x8d}, {0xab, 0xad}, {0xcb, 0xcd}}
	vectorToI32 = []vectorRange{{0x53, 0x53}, {0x63, 0x64}, {0x83, 0x84}, {0xa3, 0xa4},
		{0xc3, 0xc4}, {0xc4, 0xc4}}
	vectorFloatBinary = map[byte][]vectorRange{wasm.F32: {{0xe4, 0xeb}}, wasm.F64: {{0xf0, 0xf7}}}
	vectorFloatUnary  = map[byte][]vectorRange{
		wasm.F32: {{0x5e, 0x5e}, {0x67, 0x6a}, {0xe3, 0xe3}},
		wasm.F64: {{0x5f, 0x5f}, {0x74, 0x75}, {0x7a, 0x7a}, {0x94, 0x94}, {0xef, 0xef}},
	}
	// vectorEqual compares the lanes of a float type, and vectorSplat fills lanes with a scalar.
	vectorEqual = map[byte]byte{wasm.F32: 0x41, wasm.F64: 0x47}
	vectorSplat = map[byte][]vectorRange{
		wasm.I32: {{0x0f, 0x11}},
		wasm.I64: {{0x12, 0x12}},
		wasm.F32: {{0x13, 0x13}},
		wasm.F64: {{0x14, 0x14}},
	}
)

// pickVector appends one of the instructions in ranges.
func (g *generator) pickVector(ranges []vectorRange) {
	r := ranges[g.next(len(ranges))]
	g.op(vector(r.first + byte(g.next(int(r.last-r.first)+1))))
}

// canonical zeroes the lanes that are NaN, whose bits the specification leaves open: of two NaNs,
// the engines keep the bits of either. The local that it needs must not keep those bits, because
// later code reads it.
func (g *generator) canonical(vt byte) {
	n := g.local(wasm.V128)
	g.op(wasm.OpLocalTee, n)
	g.op(wasm.OpLocalGet, n)
	g.op(wasm.OpLocalGet, n)
	g.op(vector(vectorEqual[vt]))
	g.op(vector(0x4e))
	g.op(wasm.OpLocalTee, n)
}

// vectorCombine appends an instruction that combines two vectors into one.
func (g *generator) vectorCombine() {
	floats := []byte{wasm.F32, wasm.F64}[g.next(2)]
	switch g.next(10) {
	case 0, 1, 2, 3:
		g.pickVector(vectorBinary)
	case 4, 5:
		g.pickVector(vectorFloatBinary[floats])
		g.canonical(floats)
	case 6: // with one operand
		g.pickVector(vectorUnary)
		g.op(vector(0x51))
	case 7:
		g.pickVector(vectorFloatUnary[floats])
		g.canonical(floats)
		g.op(vector(0x51))
	case 8:
		g.op(wasm.OpLocalGet, g.local(wasm.I32))
		g.pickVector(vectorShift)
		g.op(vector(0x51))
	case 9:
		switch g.next(3) {
		case 0:
			g.op(vector(0x0d)) // shuffle
			for range 16 {
				g.code = append(g.code, byte(g.next(32)))
			}
		case 1:
			g.op(wasm.OpLocalGet, g.local(wasm.V128))
			g.op(vector(0x52)) // bitselect
		case 2:
			g.op(wasm.OpLocalGet, g.local(wasm.I32))
			g.op(wasm.OpSelect)
		}
	}
}

// toVector appends code that converts a scalar to a vector.
func (g *generator) toVector(from byte) {
	g.pickVector(vectorSplat[from])
	if vectorEqual[from] != 0 {
		g.canonical(from)
	}
}

// fromVector appends code that converts a vector to a scalar.
func (g *generator) fromVector(to byte) {
	extract := map[byte][3]byte{
		wasm.I32: {0x15, 0x1b, 4},
		wasm.I64: {0x1d, 0x1d, 2},
		wasm.F32: {0x1f, 0x1f, 4},
		wasm.F64: {0x21, 0x21, 2},
	}[to]
	if to == wasm.I32 && g.next(2) == 0 {
		g.pickVector(vectorToI32)
		return
	}
	op := extract[0]
	if to == wasm.I32 {
		op = []byte{0x15, 0x16, 0x18, 0x19, 0x1b}[g.next(5)]
	}
	g.op(vector(op))
	g.code = append(g.code, byte(g.next(int(extract[2]))))
}

// vectorLoad appends a load of a vector: the whole vector, widened lanes, a repeated lane, or one
// lane and zeros.
func (g *generator) vectorLoad() {
	g.pickVector([]vectorRange{{0x00, 0x0a}, {0x5c, 0x5d}})
	g.code = wasm.AppendUint32(append(g.code, 0), uint32(g.next(256)))
}
