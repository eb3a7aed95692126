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

import (
	"encoding/binary"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// The functions below generate code with more live values than registers, across calls and in
// loops, so that the compiler must spill and reload some of them.

// maxHeld is the maximum number of values held on the stack at a time, and maxLocals of those in
// locals. maxSteps is how often in a row one of these changes, and maxPressure how deeply such code
// is nested.
const maxHeld, maxPressure, maxLocals, maxSteps = 48, 3, 64, 64

// heldTypes are the types of held values, mostly integers, for which there are the fewest
// registers.
var heldTypes = []byte{
	wasm.I32, wasm.I32, wasm.I64, wasm.I64, wasm.F32, wasm.F64, wasm.V128, wasm.V128,
}

// moreLocals declares locals, so that loops carry more values than fit into registers. Most of them
// are of kinds that share these registers.
func (g *generator) moreLocals(body *wasm.Body) {
	kind := heldTypes
	if half := len(heldTypes) / 2; g.next(4) > 0 {
		kind = [][]byte{heldTypes[:half], heldTypes[half:]}[g.next(2)]
	}
	for range g.next(maxLocals) {
		vt := kind[g.next(len(kind))]
		g.locals = append(g.locals, vt)
		body.DeclareLocals(1, wasm.ValueType{Code: vt})
	}
}

// pressure appends code that leaves many values, does something else, and combines the values into
// one.
func (g *generator) pressure(vt byte, depth int) {
	if depth > maxPressure || len(g.code) > maxCode/2 {
		g.simple(vt)
		return
	}
	g.loadAll()
	loops := g.next(4) > 0 && g.counters < maxPressure
	if loops {
		g.counted()
	}
	for range g.next(maxSteps) {
		g.step()
	}
	if g.next(2) == 0 {
		defer g.storeAll()
	}
	held := make([]byte, 1+g.next(maxHeld))
	for n := range held {
		held[n] = heldTypes[g.next(len(heldTypes))]
		g.simple(held[n])
		if g.next(8) == 0 {
			g.callLater()
		}
	}
	if g.next(2) == 0 {
		g.statement(depth)
	}
	for n := len(held) - 1; n > 0; n-- {
		if to := held[n-1]; to != held[n] {
			g.convertTo(to, held[n])
		}
		g.combine(held[n-1])
	}
	if held[0] != vt {
		g.convertTo(vt, held[0])
	}
	if loops {
		g.op(wasm.OpLocalSet, g.local(vt))
		g.again()
		g.op(wasm.OpLocalGet, g.local(vt))
	}
}

// counted opens a loop that ends after a few iterations; [generator.again] closes it. Nothing else
// uses its counter.
func (g *generator) counted() {
	g.code = append(g.code, constant(wasm.I32, int64(2+g.next(6)))...)
	g.op(wasm.OpLocalSet, g.counter())
	g.open(wasm.OpLoop, wasm.BlockTypeEmpty, 0)
	g.counters++
}

func (g *generator) again() {
	g.counters--
	g.op(wasm.OpLocalGet, g.counter())
	g.code = append(g.code, constant(wasm.I32, 1)...)
	g.op(wasm.OpI32Sub)
	g.op(wasm.OpLocalTee, g.counter())
	g.op(wasm.OpBrIf, 0)
	g.end()
}

// counter returns the counter of the next loop, a local after all others.
func (g *generator) counter() uint32 { return uint32(len(g.locals) + g.counters) }

// simple appends a value that takes no more than a few instructions.
func (g *generator) simple(vt byte) {
	switch g.next(7) {
	case 0:
		g.code = append(g.code, g.anyConstant(vt)...)
	case 1, 2:
		g.op(wasm.OpLocalGet, g.local(vt))
	case 3:
		g.op(wasm.OpLocalGet, g.local(vt))
		g.code = append(g.code, g.anyConstant(vt)...)
		g.combine(vt)
	case 4:
		g.op(wasm.OpLocalGet, g.local(vt))
		g.op(wasm.OpLocalGet, g.local(vt))
		g.combine(vt)
		g.op(wasm.OpLocalTee, g.local(vt))
	case 5:
		from := heldTypes[g.next(len(heldTypes))]
		g.op(wasm.OpLocalGet, g.local(from))
		if from != vt {
			g.convertTo(vt, from)
		}
	case 6:
		g.code = append(g.code, constant(wasm.I32, g.number()&0xfff)...)
		if vt == wasm.V128 {
			g.vectorLoad()
		} else {
			g.op(loads[vt], 0, uint32(g.next(256)))
		}
	}
}

// loadAll appends code that gives every local a distinct value, and storeAll code that exposes
// these values. storeAll skips floats, because the bits of a NaN are left open.
func (g *generator) loadAll() {
	for n, vt := range g.locals {
		g.code = append(g.code, constant(wasm.I32, 0)...)
		if vt == wasm.V128 {
			g.op(vector(0x00), 0, uint32(16*n))
		} else {
			g.op(loads[vt], 0, uint32(16*n))
		}
		g.op(wasm.OpLocalSet, uint32(n))
	}
}

func (g *generator) storeAll() {
	for n, vt := range g.locals {
		op := map[byte]wasm.Opcode{wasm.I32: 0x36, wasm.I64: 0x37, wasm.V128: vector(0x0b)}[vt]
		if op == 0 {
			continue
		}
		g.code = append(g.code, constant(wasm.I32, 0)...)
		g.op(wasm.OpLocalGet, uint32(n))
		g.op(op, 0, uint32(16*n))
	}
}

// step appends code that changes one of many locals, which live long and end in no particular
// order.
func (g *generator) step() {
	n := g.next(len(g.locals))
	vt := g.locals[n]
	if g.next(16) == 0 {
		g.callLater()
	}
	g.op(wasm.OpLocalGet, g.local(vt))
	switch from := heldTypes[g.next(len(heldTypes))]; {
	case from != vt && g.next(3) == 0:
		g.op(wasm.OpLocalGet, g.local(from))
		g.convertTo(vt, from)
	default:
		g.op(wasm.OpLocalGet, g.local(vt))
	}
	g.combine(vt)
	if g.next(3) == 0 {
		g.op(wasm.OpLocalGet, g.local(vt))
		g.combine(vt)
	}
	g.op(wasm.OpLocalSet, uint32(n))
}

// callLater appends a call of a later function, if there is one. Such calls always terminate.
func (g *generator) callLater() {
	later := len(g.m.Types) - 1 - g.index
	if later == 0 {
		return
	}
	callee := g.index + 1 + g.next(later)
	t := &g.m.Types[callee]
	for _, p := range t.Params {
		g.op(wasm.OpLocalGet, g.local(p.Code))
	}
	g.op(wasm.OpCall, uint32(callee))
	g.op(wasm.OpLocalSet, g.local(t.Results[0].Code))
}

func (g *generator) anyConstant(vt byte) []byte {
	if vt != wasm.V128 {
		return constant(vt, g.number())
	}
	code := wasm.AppendUint32([]byte{byte(wasm.OpV128Const >> 8)}, uint32(wasm.OpV128Const&0xff))
	for range 2 {
		code = binary.LittleEndian.AppendUint64(code, uint64(g.number())<<g.next(40))
	}
	return code
}

// combine appends an instruction that combines two values into one. Divisors are seldom zero.
func (g *generator) combine(vt byte) {
	if vt == wasm.V128 {
		g.vectorCombine()
		return
	}
	ops := binaries[vt]
	op := ops[g.next(len(ops))]
	if g.next(3) == 0 { // more of those that are hard to compile
		switch vt {
		case wasm.I32:
			op = wasm.OpI32DivS + wasm.Opcode(g.next(4))
		case wasm.I64:
			op = wasm.OpI64DivS + wasm.Opcode(g.next(4))
		}
	}
	divides := op >= wasm.OpI32DivS && op <= wasm.OpI32RemU || op >= wasm.OpI64DivS &&
		op <= wasm.OpI64RemU
	if divides && g.next(16) > 0 {
		g.code = append(g.code, constant(vt, 1)...)
		g.op(map[byte]wasm.Opcode{wasm.I32: 0x72, wasm.I64: wasm.OpI64Or}[vt])
	}
	g.op(op)
	if g.next(12) == 0 {
		pick(g, unary[vt])
	}
}

// saturating are the conversions that do not trap, by operand type. reinterpreting are those from
// bits.
var (
	saturating = map[byte]map[byte][]wasm.Opcode{
		wasm.I32: {wasm.F32: {0xfc00, 0xfc01}, wasm.F64: {0xfc02, 0xfc03}},
		wasm.I64: {wasm.F32: {0xfc04, 0xfc05}, wasm.F64: {0xfc06, 0xfc07}},
	}
	reinterpreting = map[byte]map[byte]wasm.Opcode{
		wasm.F32: {wasm.I32: 0xbe},
		wasm.F64: {wasm.I64: 0xbf},
	}
)

// convertTo appends a conversion between two types, which hardly ever traps.
func (g *generator) convertTo(to, from byte) {
	switch {
	case to == wasm.V128:
		g.toVector(from)
	case from == wasm.V128:
		g.fromVector(to)
	case saturating[to][from] != nil && g.next(16) > 0:
		pick(g, saturating[to][from])
	case reinterpreting[to][from] != 0 && g.next(2) == 0:
		g.op(reinterpreting[to][from])
	default:
		op := conversions[to][from]
		if (to == wasm.I64 || from != wasm.F32 && from != wasm.F64) && to != wasm.I32 &&
			g.next(2) == 0 {
			op++ // from or to an unsigned type
		}
		g.op(op)
	}
}
