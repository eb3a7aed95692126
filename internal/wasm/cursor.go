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

package wasm

import "fmt"

// NoType stands for the absence of a type index in [Instruction.X] of a block.
const NoType = ^uint32(0)

// Instruction is one instruction as a [Cursor] sees it.
type Instruction struct {
	Op Opcode
	// Start and End delimit the instruction in the code: opcode and immediates.
	Start, End int
	// X is the index that the instruction refers to: function, type, local, global, table, data or
	// element segment, or label. For block, loop and if, it is the type index or [NoType]. For
	// br_table, it is the number of labels including the default.
	X uint32
	// Y is the second index of an instruction that has two: the table of a call_indirect, the table
	// or memory of an init, the source of a copy. For block, loop and if with [NoType], it is the
	// number of results, 0 or 1.
	Y uint32
}

// Cursor walks over the instructions of one function body. It checks encodings and block structure.
// It also checks that all referenced types, functions, globals, locals and labels exist.
type Cursor struct {
	code []byte
	// base is the position of code in the module.
	base int
	pos  int
	// depth is the number of open blocks including the body itself.
	depth int
	// ifs marks for each open block whether an else may follow.
	ifs []bool
	// open allows code after the final end.
	open bool
	err  error

	types, functions, globals, locals uint32
	targets                           []uint32
	valueType                         ValueType
}

// Cursor returns a cursor for the bodies of m. [Cursor.Reset] points it at one body after another.
// The sizes of the index spaces are those of m at the time of the call.
func (m *Module) Cursor() *Cursor {
	return &Cursor{
		types:     uint32(len(m.Types)),
		functions: uint32(m.ImportedCount(ExternFunction) + len(m.Functions)),
		globals:   uint32(m.ImportedCount(ExternGlobal) + len(m.Globals)),
	}
}

// Reset points the cursor at a body of a function with the given number of parameters.
func (c *Cursor) Reset(body *Body, params int) {
	c.code, c.base, c.locals = body.Code, body.Offset, uint32(params)+body.Locals
	c.pos, c.depth, c.open, c.err = 0, 1, false, nil
	c.ifs = append(c.ifs[:0], false)
}

// Err returns the error that ended the walk, or nil if it reached the end of the body.
func (c *Cursor) Err() error { return c.err }

// Depth returns the number of open blocks after the last instruction. The body counts as one.
func (c *Cursor) Depth() int { return c.depth }

// Targets returns the labels of the br_table that [Cursor.Next] has just returned, with the default
// last. The slice is valid until the next call of Next.
func (c *Cursor) Targets() []uint32 { return c.targets }

// ValueType returns the type in the instruction that [Cursor.Next] has just returned: the result of
// a block with one result, the stated type of a select, or a nullable reference to the heap type of
// a ref.null.
func (c *Cursor) ValueType() ValueType { return c.valueType }

// Next reads the next instruction into in. It returns false at the end of the body or at an error;
// see [Cursor.Err].
func (c *Cursor) Next(in *Instruction) bool {
	if c.pos >= len(c.code) || c.depth == 0 || c.err != nil {
		if c.depth > 0 && c.err == nil {
			c.fail("unexpected end of the code, %d blocks are open", c.depth)
		}
		return false
	}
	op := c.code[c.pos]
	in.Op, in.Start = Opcode(op), c.pos
	c.pos++
	class := immediates[op]
	switch class {
	case immNone:
	case immLocal:
		in.X = c.local()
	case immMemArg:
		c.memArg()
	case immI32:
		c.constant(4, 32)
	case immI64:
		c.constant(9, 64)
	case immGlobal:
		in.X = c.index("global", c.globals)
	case immFunction:
		in.X = c.index("function", c.functions)
	case immLabel:
		in.X = c.index("label", uint32(c.depth))
	case immBlock, immElse, immEnd:
		c.structure(in)
	case immPrefixMisc:
		c.misc(in)
	case immPrefixVector:
		c.vector(in)
	case immInvalid:
		c.invalid(op)
	default:
		c.rare(in, class)
	}
	in.End = c.pos
	return c.err == nil
}

// NextNotable is like [Cursor.Next], but skips most instructions that only compute: constants,
// arithmetic, locals, loads and stores. It checks them as Next does.
func (c *Cursor) NextNotable(in *Instruction) bool {
	if c.depth > 0 && c.err == nil {
		c.skipComputing()
	}
	return c.Next(in)
}

// skipComputing skips instructions with a common encoding. Next handles the others.
func (c *Cursor) skipComputing() {
	code, pos := c.code, c.pos
	for pos < len(code) {
		next := pos + 1
		switch immediates[code[pos]] {
		case immNone:
			if Opcode(code[pos]) == OpRefAsNonNull {
				next = 0
			}
		case immLocal:
			next = skipIndex(code, next, c.locals)
		case immMemArg:
			if next = skipIndex(code, next, 0x20); next > 0 {
				next = skipShort(code, next, 4)
			}
		case immI32:
			next = skipShort(code, next, 4)
		case immI64:
			next = skipShort(code, next, 9)
		default:
			next = 0
		}
		if next == 0 {
			break
		}
		pos = next
	}
	c.pos = pos
}

// structure handles the instructions that open, split and close blocks.
func (c *Cursor) structure(in *Instruction) {
	switch in.Op {
	case OpElse:
		if !c.ifs[len(c.ifs)-1] {
			c.failAt(in.Start, "else without if")
			return
		}
		c.ifs[len(c.ifs)-1] = false
	case OpEnd:
		c.ifs = c.ifs[:len(c.ifs)-1]
		c.depth--
		if c.depth == 0 && !c.open && c.pos != len(c.code) {
			c.fail("%d bytes after the end of the function body", len(c.code)-c.pos)
		}
	default:
		c.blockType(in)
		if c.depth >= MaxNesting {
			c.failAt(in.Start, "blocks nested deeper than %d", MaxNesting)
			return
		}
		c.depth++
		c.ifs = append(c.ifs, in.Op == OpIf)
	}
}

// blockType reads the type of a block: empty, one value type, or a type index. Empty and value
// types are encoded as negative numbers.
func (c *Cursor) blockType(in *Instruction) {
	in.X, in.Y = NoType, 0
	if c.pos < len(c.code) && c.code[c.pos] == BlockTypeEmpty {
		c.pos++
		return
	}
	if c.pos < len(c.code) && c.code[c.pos]&0xc0 == 0x40 {
		c.readValueType()
		in.Y = 1
		return
	}
	at := c.pos
	v := c.signed(33)
	if c.err != nil {
		return
	}
	if v < 0 || v >= int64(c.types) {
		c.failAt(at, "block type %d, expected a type index below %d", v, c.types)
		return
	}
	in.X = uint32(v)
}

// rare handles the immediates that are too rare to matter for speed.
func (c *Cursor) rare(in *Instruction, class immediate) {
	switch class {
	case immBrTable:
		c.brTable(in)
	case immCallIndirect:
		in.X = c.index("type", c.types)
		in.Y = c.u32()
	case immType:
		in.X = c.index("type", c.types)
	case immSelectTypes:
		at := c.pos
		n := c.u32()
		if c.err == nil && n != MaxSelectTypes {
			c.failAt(at, "select with %d types, expected %d", n, MaxSelectTypes)
			return
		}
		c.readValueType()
	case immTable:
		in.X = c.u32()
	case immMemory:
		c.memory()
	case immF32:
		c.skip(4)
	case immF64:
		c.skip(8)
	case immHeapType:
		r := reader{buf: c.code, pos: c.pos, end: len(c.code), err: c.err}
		at := r.pos
		c.valueType = ValueType{Code: RefNull, Heap: r.heapType()}
		r.checkHeap(at, c.valueType, int(c.types))
		c.adopt(&r)
	}
}

func (c *Cursor) brTable(in *Instruction) {
	at := c.pos
	n := c.u32()
	switch {
	case c.err != nil:
		return
	case n > MaxBranchTargets:
		c.failAt(at, "br_table with %d labels, expected at most %d", n, MaxBranchTargets)
		return
	case int(n) >= len(c.code)-c.pos:
		c.failAt(at, "br_table with %d labels, but %d bytes are left", n, len(c.code)-c.pos)
		return
	}
	c.targets = c.targets[:0]
	for range n + 1 {
		c.targets = append(c.targets, c.index("label", uint32(c.depth)))
		if c.err != nil {
			return
		}
	}
	in.X = n + 1
}

// misc handles the instructions with prefix 0xfc: saturating conversions and bulk operations.
func (c *Cursor) misc(in *Instruction) {
	at := c.pos
	sub := c.u32()
	if c.err != nil {
		return
	}
	if sub > 17 {
		switch {
		case sub == 18:
			c.unsupported(in.Start, proposalMemoryControl, "instruction 0xfc %d", sub)
		case sub <= 22:
			c.unsupported(in.Start, proposalWideArithmetic, "instruction 0xfc %d", sub)
		default:
			c.failAt(at, "unknown instruction 0xfc %d", sub)
		}
		return
	}
	in.Op = 0xfc00 | Opcode(sub)
	switch in.Op {
	case OpMemoryInit:
		in.X = c.u32()
		c.memory()
	case OpMemoryCopy:
		c.memory()
		c.memory()
	case OpMemoryFill:
		c.memory()
	case OpTableInit, OpTableCopy:
		in.X = c.u32()
		in.Y = c.u32()
	case OpDataDrop, OpElemDrop, OpTableGrow, OpTableSize, OpTableFill:
		in.X = c.u32()
	}
}

// vector handles the instructions with prefix 0xfd: fixed-width SIMD. Their opcodes are integers of
// variable length, but wazero 1.12 reads only the first byte. This makes no difference for the
// shortest encoding: for opcodes from 0x80 on, the second byte is 1, which is nop. In a longer
// encoding, wazero would find other instructions than this package.
func (c *Cursor) vector(in *Instruction) {
	at := c.pos
	sub := c.u32()
	switch {
	case c.err != nil:
		return
	case c.pos-at > 1+int(min(sub>>7, 1)):
		c.failAt(at,
			"opcode %#x of a vector instruction takes %d bytes, which is more than it needs", sub,
			c.pos-at)
		return
	case sub >= 0x100 && sub <= 0x12f:
		c.unsupported(in.Start, proposalRelaxedSIMD, "instruction 0xfd %#x", sub)
		return
	case sub > 0xff, sub == 0x9a, sub == 0xa2, sub == 0xa5, sub == 0xa6, sub == 0xaf, sub == 0xb0,
		sub == 0xb2, sub == 0xb3, sub == 0xb4, sub == 0xbb, sub == 0xc2, sub == 0xc5, sub == 0xc6,
		sub == 0xcf, sub == 0xd0, sub == 0xd2, sub == 0xd3, sub == 0xd4, sub == 0xe2, sub == 0xee:
		c.failAt(at, "unknown instruction 0xfd %#x", sub)
		return
	}
	in.Op = 0xfd00 | Opcode(sub)
	switch {
	case sub <= 0x0b, sub == 0x5c, sub == 0x5d: // loads and stores
		c.memArg()
	case sub == 0x0c, sub == 0x0d: // v128.const, i8x16.shuffle
		c.skip(16)
	case sub >= 0x15 && sub <= 0x22: // lanes
		c.skip(1)
	case sub >= 0x54 && sub <= 0x5b: // loads and stores of a lane
		c.memArg()
		c.skip(1)
	}
}

func (c *Cursor) invalid(op byte) {
	at := c.pos - 1
	proposal := opcodeProposal(op)
	if op == 0xfb {
		if sub := c.u32(); c.err == nil && sub >= 0x80 {
			proposal = proposalStringref
		}
	}
	if proposal != "" {
		c.unsupported(at, proposal, "instruction %#x", op)
		return
	}
	c.failAt(at, "unknown instruction %#x", op)
}

func (c *Cursor) failAt(pos int, format string, args ...any) {
	if c.err == nil {
		c.err = &Error{Offset: c.base + pos, Message: fmt.Sprintf(format, args...)}
	}
}

func (c *Cursor) fail(format string, args ...any) { c.failAt(c.pos, format, args...) }

func (c *Cursor) unsupported(pos int, proposal, format string, args ...any) {
	if c.err == nil {
		c.err = &UnsupportedError{
			Offset:   c.base + pos,
			Proposal: proposal,
			Feature:  fmt.Sprintf(format, args...),
		}
	}
}
