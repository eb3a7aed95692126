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

// Opcode is the operation of an instruction: its byte, or for an instruction with a prefix, the
// prefix byte times 256 plus the number after it.
type Opcode uint16

// The opcodes that this package and its users distinguish
// (https://www.w3.org/TR/wasm-core-2/#instructions).
const (
	OpUnreachable        Opcode = 0x00
	OpNop                Opcode = 0x01
	OpBlock              Opcode = 0x02
	OpLoop               Opcode = 0x03
	OpIf                 Opcode = 0x04
	OpElse               Opcode = 0x05
	OpEnd                Opcode = 0x0b
	OpBr                 Opcode = 0x0c
	OpBrIf               Opcode = 0x0d
	OpBrTable            Opcode = 0x0e
	OpReturn             Opcode = 0x0f
	OpCall               Opcode = 0x10
	OpCallIndirect       Opcode = 0x11
	OpReturnCall         Opcode = 0x12
	OpReturnCallIndirect Opcode = 0x13
	OpCallRef            Opcode = 0x14
	OpReturnCallRef      Opcode = 0x15
	OpDrop               Opcode = 0x1a
	OpSelect             Opcode = 0x1b
	OpSelectTyped        Opcode = 0x1c
	OpLocalGet           Opcode = 0x20
	OpLocalSet           Opcode = 0x21
	OpLocalTee           Opcode = 0x22
	OpGlobalGet          Opcode = 0x23
	OpGlobalSet          Opcode = 0x24
	OpTableGet           Opcode = 0x25
	OpTableSet           Opcode = 0x26
	OpMemorySize         Opcode = 0x3f
	OpMemoryGrow         Opcode = 0x40
	OpI32Const           Opcode = 0x41
	OpI64Const           Opcode = 0x42
	OpF32Const           Opcode = 0x43
	OpF64Const           Opcode = 0x44
	OpI32Eqz             Opcode = 0x45
	OpI32Eq              Opcode = 0x46
	OpI32Ne              Opcode = 0x47
	OpI32LtU             Opcode = 0x49
	OpI32GtU             Opcode = 0x4b
	OpI32LeU             Opcode = 0x4d
	OpI64Eq              Opcode = 0x51
	OpI64LtS             Opcode = 0x53
	OpI32Add             Opcode = 0x6a
	OpI32Sub             Opcode = 0x6b
	OpI32Mul             Opcode = 0x6c
	OpI32DivS            Opcode = 0x6d
	OpI32DivU            Opcode = 0x6e
	OpI32RemS            Opcode = 0x6f
	OpI32RemU            Opcode = 0x70
	OpI32And             Opcode = 0x71
	OpI32Or              Opcode = 0x72
	OpI64Add             Opcode = 0x7c
	OpI64Sub             Opcode = 0x7d
	OpI64Mul             Opcode = 0x7e
	OpI64DivS            Opcode = 0x7f
	OpI64DivU            Opcode = 0x80
	OpI64RemS            Opcode = 0x81
	OpI64RemU            Opcode = 0x82
	OpI64And             Opcode = 0x83
	OpI64Or              Opcode = 0x84
	OpI64Shl             Opcode = 0x86
	OpI64ShrU            Opcode = 0x88
	OpI32WrapI64         Opcode = 0xa7
	OpI64ExtendI32U      Opcode = 0xad
	OpRefNull            Opcode = 0xd0
	OpRefIsNull          Opcode = 0xd1
	OpRefFunc            Opcode = 0xd2
	OpRefAsNonNull       Opcode = 0xd4
	OpBrOnNull           Opcode = 0xd5
	OpBrOnNonNull        Opcode = 0xd6

	OpMemoryInit Opcode = 0xfc08
	OpDataDrop   Opcode = 0xfc09
	OpMemoryCopy Opcode = 0xfc0a
	OpMemoryFill Opcode = 0xfc0b
	OpTableInit  Opcode = 0xfc0c
	OpElemDrop   Opcode = 0xfc0d
	OpTableCopy  Opcode = 0xfc0e
	OpTableGrow  Opcode = 0xfc0f
	OpTableSize  Opcode = 0xfc10
	OpTableFill  Opcode = 0xfc11

	OpV128Const        Opcode = 0xfd0c
	OpI64x2ExtractLane Opcode = 0xfd1d
	OpI64x2Bitmask     Opcode = 0xfdc4
)

// BlockTypeEmpty is the encoded type of a block without parameters and results.
const BlockTypeEmpty byte = 0x40

// immediate is a class of instructions with the same kind of immediates.
type immediate uint8

const (
	immInvalid immediate = iota
	immNone
	immBlock
	immElse
	immEnd
	immLabel
	immBrTable
	immFunction
	immCallIndirect
	immType
	immSelectTypes
	immLocal
	immGlobal
	immTable
	immMemArg
	immMemory
	immI32
	immI64
	immF32
	immF64
	immHeapType
	immPrefixMisc
	immPrefixVector
)

// immediates maps each one-byte instruction to its class.
var immediates = func() (t [256]immediate) {
	fill := func(class immediate, from, to int) {
		for op := from; op <= to; op++ {
			t[op] = class
		}
	}
	fill(immNone, 0x00, 0x01)         // unreachable, nop
	fill(immBlock, 0x02, 0x04)        // block, loop, if
	fill(immElse, 0x05, 0x05)         //
	fill(immEnd, 0x0b, 0x0b)          //
	fill(immLabel, 0x0c, 0x0d)        // br, br_if
	fill(immBrTable, 0x0e, 0x0e)      //
	fill(immNone, 0x0f, 0x0f)         // return
	fill(immFunction, 0x10, 0x10)     // call
	fill(immCallIndirect, 0x11, 0x11) //
	fill(immFunction, 0x12, 0x12)     // return_call
	fill(immCallIndirect, 0x13, 0x13) // return_call_indirect
	fill(immType, 0x14, 0x15)         // call_ref, return_call_ref
	fill(immNone, 0x1a, 0x1b)         // drop, select
	fill(immSelectTypes, 0x1c, 0x1c)  // select with type
	fill(immLocal, 0x20, 0x22)        // local.get, local.set, local.tee
	fill(immGlobal, 0x23, 0x24)       // global.get, global.set
	fill(immTable, 0x25, 0x26)        // table.get, table.set
	fill(immMemArg, 0x28, 0x3e)       // loads and stores
	fill(immMemory, 0x3f, 0x40)       // memory.size, memory.grow
	fill(immI32, 0x41, 0x41)          //
	fill(immI64, 0x42, 0x42)          //
	fill(immF32, 0x43, 0x43)          //
	fill(immF64, 0x44, 0x44)          //
	fill(immNone, 0x45, 0xc4)         // comparisons, arithmetic, conversions
	fill(immHeapType, 0xd0, 0xd0)     // ref.null
	fill(immNone, 0xd1, 0xd1)         // ref.is_null
	fill(immFunction, 0xd2, 0xd2)     // ref.func
	fill(immNone, 0xd4, 0xd4)         // ref.as_non_null
	fill(immLabel, 0xd5, 0xd6)        // br_on_null, br_on_non_null
	fill(immPrefixMisc, 0xfc, 0xfc)   //
	fill(immPrefixVector, 0xfd, 0xfd) //
	return t
}()

// opcodeProposal returns the proposal that a one-byte instruction belongs to, or "".
func opcodeProposal(op byte) string {
	switch {
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		return proposalExceptions
	case op == 0xd3, op == 0xfb:
		return proposalGC
	case op == 0xfe:
		return proposalThreads
	case op >= 0xe0 && op <= 0xe6:
		return proposalStackSwitching
	}
	return ""
}
