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
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// generate makes a valid module from any bytes, which choose what it does. The module has functions
// that call one another, directly and through a table; loops, branches, and globals; and a memory
// that is read, written, filled, copied, and grown. Where the bytes end, the generator chooses the
// shortest valid code.
func generate(entropy []byte) []byte {
	g := &generator{entropy: entropy}
	g.declare()
	for i := range g.m.Functions {
		g.function(i)
	}
	return g.m.Encode()
}

const (
	generatedPages = 24 // more than two portions of a bulk operation
	// maxDepth bounds the nesting of expressions, and maxCode the length of a function.
	maxDepth, maxCode = 8, 4000
)

// noise is the initial content of the memory: bytes in which no two values are alike.
var noise = func() []byte {
	noise := make([]byte, 4<<10)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	return noise
}()

var (
	generatedTypes = []byte{wasm.I32, wasm.I64, wasm.F32, wasm.F64}
	// localTypes are the types of which every function has a local; these locals come last.
	localTypes = append(slices.Clone(generatedTypes), wasm.V128)
)

type generator struct {
	entropy []byte
	m       wasm.Module

	// Of the current function:
	index    int
	code     []byte
	locals   []byte
	counters int // open loops that count
	result   byte
	labels   []byte // what a branch to each open block takes, 0 for nothing; the innermost is last
}

// next returns a number below n.
func (g *generator) next(n int) int {
	if len(g.entropy) == 0 {
		return 0
	}
	b := int(g.entropy[0])
	g.entropy = g.entropy[1:]
	return b % n
}

func (g *generator) number() int64 {
	const size = 4
	if len(g.entropy) < size {
		return int64(g.next(256))
	}
	v := int32(binary.LittleEndian.Uint32(g.entropy))
	g.entropy = g.entropy[size:]
	return int64(v >> (8 * g.next(size)))
}

func (g *generator) declare() {
	g.m.Memories = []wasm.Limits{{Min: generatedPages}}
	g.m.Data = []wasm.DataSegment{
		{Offset: wasm.I32Const(8), Bytes: noise},
		{Mode: wasm.SegmentPassive, Bytes: make([]byte, 600<<10)},
	}
	g.m.DataCount = new(uint32(2))
	for _, vt := range generatedTypes {
		zero := append(constant(vt, 0), byte(wasm.OpEnd))
		g.m.Globals = append(g.m.Globals,
			wasm.Global{
				Type: wasm.GlobalType{Type: wasm.ValueType{Code: vt}, Mutable: true},
				Init: zero,
			})
	}
	functions := 1 + g.next(6)
	all := wasm.Element{Offset: wasm.I32Const(0), Type: wasm.ValueType{Code: wasm.FuncRef}}
	for i := range functions {
		var t wasm.FuncType
		for range g.next(3) {
			t.Params = append(t.Params, wasm.ValueType{Code: generatedTypes[g.next(4)]})
		}
		t.Results = []wasm.ValueType{{Code: generatedTypes[g.next(4)]}}
		g.m.Types = append(g.m.Types, t)
		g.m.Functions = append(g.m.Functions, uint32(i))
		g.m.Exports = append(g.m.Exports, wasm.Export{Name: fmt.Sprint("f", i), Index: uint32(i)})
		all.Functions = append(all.Functions, uint32(i))
	}
	g.m.Tables =
		[]wasm.Table{{Type: wasm.TableType{
			Element: wasm.ValueType{Code: wasm.FuncRef},
			Limits:  wasm.Limits{Min: uint32(functions) + 1},
		}}}
	g.m.Elements = []wasm.Element{all}
}

func (g *generator) function(index int) {
	t := &g.m.Types[index]
	g.index, g.code, g.locals, g.result = index, nil, nil, t.Results[0].Code
	for _, p := range t.Params {
		g.locals = append(g.locals, p.Code)
	}
	var body wasm.Body
	g.moreLocals(&body)
	for _, vt := range localTypes {
		g.locals = append(g.locals, vt)
		body.DeclareLocals(1, wasm.ValueType{Code: vt})
	}
	body.DeclareLocals(maxPressure, wasm.ValueType{Code: wasm.I32})
	g.labels = []byte{g.result}
	for range g.next(5) {
		g.statement(0)
	}
	if g.next(2) == 0 {
		g.pressure(g.result, 0)
		g.op(wasm.OpLocalSet, g.local(g.result))
	}
	g.value(g.result, 0)
	g.op(wasm.OpEnd)
	body.Code = g.code
	g.m.Bodies = append(g.m.Bodies, body)
}

// op appends an instruction followed by immediates.
func (g *generator) op(op wasm.Opcode, immediates ...uint32) {
	if op > 0xff {
		g.code = wasm.AppendUint32(append(g.code, byte(op>>8)), uint32(op&0xff))
	} else {
		g.code = append(g.code, byte(op))
	}
	for _, n := range immediates {
		g.code = wasm.AppendUint32(g.code, n)
	}
}

func constant(vt byte, v int64) []byte {
	switch vt {
	case wasm.I32:
		return wasm.AppendInt64([]byte{byte(wasm.OpI32Const)}, int64(int32(v)))
	case wasm.I64:
		return wasm.AppendInt64([]byte{byte(wasm.OpI64Const)}, v)
	case wasm.F32:
		return binary.LittleEndian.AppendUint32([]byte{byte(wasm.OpF32Const)}, uint32(v))
	default:
		return binary.LittleEndian.AppendUint64([]byte{byte(wasm.OpF64Const)}, uint64(v))
	}
}

// The instructions without immediates, by operand and result types.
var (
	unary = map[byte][]wasm.Opcode{
		wasm.I32: {0x67, 0x68, 0x69, 0xc0, 0xc1},
		wasm.I64: {0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4},
		wasm.F32: {0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x91},
		wasm.F64: {0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f},
	}
	binaries = map[byte][]wasm.Opcode{
		wasm.I32: {0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76,
			0x77, 0x78},
		wasm.I64: {0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
			0x89, 0x8a},
		wasm.F32: {0x92, 0x93, 0x94, 0x95, 0x96, 0x97},
		wasm.F64: {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5},
	}
	comparisons = map[byte][]wasm.Opcode{
		wasm.I32: {0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f},
		wasm.I64: {0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a},
		wasm.F32: {0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60},
		wasm.F64: {0x61, 0x62, 0x63, 0x64, 0x65, 0x66},
	}
	// conversions are the conversions to a type, by operand type. There is none from the bits of a
	// float to an integer, because the bits of a NaN are left open.
	conversions = map[byte]map[byte]wasm.Opcode{
		wasm.I32: {wasm.I64: 0xa7, wasm.F32: 0xa8, wasm.F64: 0xaa},
		wasm.I64: {wasm.I32: 0xac, wasm.F32: 0xae, wasm.F64: 0xb0},
		wasm.F32: {wasm.I32: 0xb2, wasm.I64: 0xb4, wasm.F64: 0xb6},
		wasm.F64: {wasm.I32: 0xb7, wasm.I64: 0xb9, wasm.F32: 0xbb},
	}
	loads  = map[byte]wasm.Opcode{wasm.I32: 0x28, wasm.I64: 0x29, wasm.F32: 0x2a, wasm.F64: 0x2b}
	stores = []wasm.Opcode{0x36, 0x3a, 0x3b} // of i32
)

func pick(g *generator, ops []wasm.Opcode) { g.op(ops[g.next(len(ops))]) }

// value appends code that leaves a value.
func (g *generator) value(vt byte, depth int) {
	if depth >= maxDepth || len(g.code) > maxCode || len(g.entropy) == 0 {
		g.code = append(g.code, constant(vt, 1)...)
		return
	}
	depth++
	switch g.next(18) {
	case 0:
		g.code = append(g.code, constant(vt, g.number())...)
	case 1, 2, 3:
		g.variable(vt)
	case 4:
		g.value(vt, depth)
		pick(g, unary[vt])
	case 5, 6:
		g.value(vt, depth)
		g.value(vt, depth)
		pick(g, binaries[vt])
	case 7:
		if vt != wasm.I32 {
			g.convert(vt, depth)
			break
		}
		of := generatedTypes[g.next(4)]
		g.value(of, depth)
		g.value(of, depth)
		pick(g, comparisons[of])
	case 8:
		g.convert(vt, depth)
	case 9:
		g.value(wasm.I32, depth)
		g.op(loads[vt], 0, uint32(g.next(256)))
	case 10:
		g.value(wasm.I32, depth)
		g.block(wasm.OpIf, vt, depth)
	case 11:
		g.block(wasm.OpBlock, vt, depth)
	case 12:
		g.loop(vt, depth)
	case 13:
		g.value(vt, depth)
		g.value(vt, depth)
		g.value(wasm.I32, depth)
		g.op(wasm.OpSelect)
	case 14:
		g.value(vt, depth)
		g.op(wasm.OpLocalTee, g.local(vt))
	case 15:
		g.call(vt, depth)
	case 16:
		g.size(vt, depth)
	case 17:
		g.pressure(vt, depth)
	}
}

// variable appends a read of a local or a global.
func (g *generator) variable(vt byte) {
	if g.next(3) == 0 {
		g.op(wasm.OpGlobalGet, global(vt))
		return
	}
	g.op(wasm.OpLocalGet, g.local(vt))
}

// local returns a local of a type.
func (g *generator) local(vt byte) uint32 {
	for range 4 {
		if n := g.next(len(g.locals)); g.locals[n] == vt {
			return uint32(n)
		}
	}
	return g.last(vt)
}

// last returns the last local of a type.
func (g *generator) last(vt byte) uint32 {
	return uint32(len(g.locals) - len(localTypes) + slices.Index(localTypes, vt))
}

// global returns the global of a type.
func global(vt byte) uint32 { return uint32(slices.Index(generatedTypes, vt)) }

func (g *generator) convert(vt byte, depth int) {
	of := generatedTypes[g.next(4)]
	g.value(of, depth)
	if of != vt {
		g.op(conversions[vt][of])
	}
}

// open appends the beginning of a block, and records what a branch to it takes.
func (g *generator) open(op wasm.Opcode, result, label byte) {
	g.code = append(g.code, byte(op), result)
	if label == wasm.BlockTypeEmpty {
		label = 0
	}
	g.labels = append(g.labels, label)
}

func (g *generator) end() {
	g.labels = g.labels[:len(g.labels)-1]
	g.op(wasm.OpEnd)
}

// block appends a block or an if that leaves a value.
func (g *generator) block(op wasm.Opcode, vt byte, depth int) {
	g.open(op, vt, vt)
	g.statements(depth)
	g.value(vt, depth)
	if op == wasm.OpIf {
		g.op(wasm.OpElse)
		g.value(vt, depth)
	}
	g.end()
}

func (g *generator) loop(vt byte, depth int) {
	g.open(wasm.OpLoop, vt, 0)
	g.statements(depth)
	if g.next(2) == 1 {
		// A loop that terminates: it counts down a local.
		n := g.last(wasm.I32)
		g.op(wasm.OpLocalGet, n)
		g.op(wasm.OpI32Const, 1)
		g.op(wasm.OpI32Sub)
		g.op(wasm.OpLocalTee, n)
	} else {
		g.value(wasm.I32, depth)
	}
	g.op(wasm.OpBrIf, 0)
	g.value(vt, depth)
	g.end()
}

// size appends a query for the size of the memory, or a request for more of it.
func (g *generator) size(vt byte, depth int) {
	if g.next(2) == 0 {
		g.op(wasm.OpMemorySize, 0)
	} else {
		g.code = append(g.code, constant(wasm.I32, int64(g.next(32)))...)
		g.op(wasm.OpMemoryGrow, 0)
	}
	if vt != wasm.I32 {
		g.op(conversions[vt][wasm.I32])
	}
}

// call calls a function and converts its result.
func (g *generator) call(vt byte, depth int) {
	callee := g.next(len(g.m.Types))
	t := &g.m.Types[callee]
	for _, p := range t.Params {
		g.value(p.Code, depth)
	}
	if g.next(2) == 0 {
		g.op(wasm.OpCall, uint32(callee))
	} else {
		g.code = append(g.code, constant(wasm.I32, int64(g.next(len(g.m.Types)+1)))...)
		g.op(wasm.OpCallIndirect, uint32(callee), 0)
	}
	if of := t.Results[0].Code; of != vt {
		g.op(conversions[vt][of])
	}
}

func (g *generator) statements(depth int) {
	for range g.next(3) {
		g.statement(depth)
	}
}

// statement appends code that leaves nothing on the stack.
func (g *generator) statement(depth int) {
	if depth >= maxDepth || len(g.code) > maxCode || len(g.entropy) == 0 {
		return
	}
	depth++
	vt := generatedTypes[g.next(4)]
	switch g.next(14) {
	case 0:
		g.value(vt, depth)
		g.op(wasm.OpDrop)
	case 1, 2:
		g.value(vt, depth)
		g.op(wasm.OpLocalSet, g.local(vt))
	case 3:
		g.value(vt, depth)
		g.op(wasm.OpGlobalSet, global(vt))
	case 4:
		g.value(wasm.I32, depth)
		g.value(wasm.I32, depth)
		g.op(stores[g.next(len(stores))], 0, uint32(g.next(256)))
	case 5, 6:
		g.bulk(depth)
	case 7:
		g.open(wasm.OpBlock, wasm.BlockTypeEmpty, 0)
		g.statements(depth)
		g.end()
	case 8:
		g.open(wasm.OpLoop, wasm.BlockTypeEmpty, 0)
		g.statements(depth)
		g.value(wasm.I32, depth)
		g.op(wasm.OpBrIf, 0)
		g.end()
	case 9:
		g.value(wasm.I32, depth)
		g.open(wasm.OpIf, wasm.BlockTypeEmpty, 0)
		g.statements(depth)
		g.end()
	case 10:
		g.branch(depth)
	case 11:
		g.value(wasm.I32, depth)
		g.open(wasm.OpIf, wasm.BlockTypeEmpty, 0)
		g.value(g.result, depth)
		g.op(wasm.OpReturn)
		g.end()
	case 12:
		g.tailCall(depth)
	case 13:
		g.value(wasm.I32, depth)
		g.open(wasm.OpIf, wasm.BlockTypeEmpty, 0)
		g.op(wasm.OpUnreachable)
		g.end()
	}
}

// bulk appends a bulk operation. Its operands lie in memory more often than by chance.
func (g *generator) bulk(depth int) {
	for range 3 {
		if g.next(2) == 0 {
			g.value(wasm.I32, depth)
		} else {
			g.code = append(g.code, constant(wasm.I32, g.number()&(1<<20-1))...)
		}
	}
	switch g.next(3) {
	case 0:
		g.op(wasm.OpMemoryFill, 0)
	case 1:
		g.op(wasm.OpMemoryCopy, 0, 0)
	case 2:
		g.op(wasm.OpMemoryInit, 1, 0)
	}
}

// branch appends a conditional branch, or a table of branches, to blocks that take nothing.
func (g *generator) branch(depth int) {
	var targets []uint32
	for n := range g.labels {
		if g.labels[len(g.labels)-1-n] == 0 {
			targets = append(targets, uint32(n))
		}
	}
	if len(targets) == 0 {
		return
	}
	g.value(wasm.I32, depth)
	if g.next(3) > 0 {
		g.op(wasm.OpBrIf, targets[g.next(len(targets))])
		return
	}
	n := g.next(4)
	g.op(wasm.OpBrTable, uint32(n))
	for range n + 1 {
		g.code = wasm.AppendUint32(g.code, targets[g.next(len(targets))])
	}
}

// tailCall appends a conditional tail call of a function with the same result.
func (g *generator) tailCall(depth int) {
	callee := g.next(len(g.m.Types))
	t := &g.m.Types[callee]
	if t.Results[0].Code != g.result {
		return
	}
	g.value(wasm.I32, depth)
	g.open(wasm.OpIf, wasm.BlockTypeEmpty, 0)
	for _, p := range t.Params {
		g.value(p.Code, depth)
	}
	g.op(wasm.OpReturnCall, uint32(callee))
	g.end()
}
