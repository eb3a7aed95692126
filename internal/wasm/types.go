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

// ValueType is the type of a value on the stack, in a local or in a global.
type ValueType struct {
	// Code is the first byte of the encoding: one of the constants below.
	Code byte
	// Heap is the heap type of [Ref] and [RefNull]: an index into the types, or one of the
	// constants below. It is zero for all other codes.
	Heap int64
}

// First bytes of value types (https://www.w3.org/TR/wasm-core-2/#types).
const (
	I32       byte = 0x7f
	I64       byte = 0x7e
	F32       byte = 0x7d
	F64       byte = 0x7c
	V128      byte = 0x7b
	FuncRef   byte = 0x70
	ExternRef byte = 0x6f
	// Ref and RefNull are followed by a heap type (typed function references).
	Ref     byte = 0x64
	RefNull byte = 0x63
)

// Abstract heap types, as the negative numbers of their encodings. The types without values belong
// to garbage collection: optimizers use them for null references.
const (
	HeapFunc     int64 = -0x10
	HeapExtern   int64 = -0x11
	HeapNoFunc   int64 = -0x0d
	HeapNoExtern int64 = -0x0e
)

// The first bytes of null references to these types.
const (
	nullFuncRef   byte = 0x73
	nullExternRef byte = 0x72
)

// IsReference reports whether t is a reference type.
func (t ValueType) IsReference() bool {
	return t.Code == FuncRef || t.Code == ExternRef || t.Code == Ref || t.Code == RefNull
}

// IsFunctionReference reports whether values of t refer to functions.
func (t ValueType) IsFunctionReference() bool {
	return t.Code == FuncRef || (t.Code == Ref || t.Code == RefNull) && t.Heap != HeapExtern &&
		t.Heap != HeapNoExtern
}

// String returns the name of t in the text format.
func (t ValueType) String() string {
	switch t.Code {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	case Ref:
		return "ref"
	case RefNull:
		return "ref null"
	}
	return "unknown type"
}

// FuncType is the type of a function.
type FuncType struct {
	Params, Results []ValueType
}

// Limits are the size limits of a table or memory.
type Limits struct {
	Min uint32
	// Max is meaningful if HasMax is set.
	Max    uint32
	HasMax bool
}

// TableType is the type of a table.
type TableType struct {
	Element ValueType
	// Limits count entries.
	Limits Limits
}

// GlobalType is the type of a global.
type GlobalType struct {
	Type    ValueType
	Mutable bool
}

// valueType reads a value type.
func (r *reader) valueType(what string) ValueType {
	at := r.pos
	code := r.byte(what)
	if r.err != nil {
		return ValueType{}
	}
	switch code {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return ValueType{Code: code}
	case Ref, RefNull:
		return ValueType{Code: code, Heap: r.heapType()}
	case nullFuncRef:
		return ValueType{Code: RefNull, Heap: HeapNoFunc}
	case nullExternRef:
		return ValueType{Code: RefNull, Heap: HeapNoExtern}
	}
	if proposal := typeProposal(code); proposal != "" {
		r.unsupported(at, proposal, "type %#x", code)
	} else {
		r.failAt(at, "unknown type %#x, expected %s", code, what)
	}
	return ValueType{}
}

// refType reads a reference type.
func (r *reader) refType(what string) ValueType {
	at := r.pos
	t := r.valueType(what)
	if r.err == nil && !t.IsReference() {
		r.failAt(at, "%s, expected a reference type", t)
	}
	return t
}

// heapType reads a heap type. [reader.checkHeap] checks later that a type index exists, because
// types may be used before they are known.
func (r *reader) heapType() int64 {
	at := r.pos
	h := r.s33("heap type")
	switch {
	case r.err != nil || h >= 0 || h == HeapFunc || h == HeapExtern || h == HeapNoFunc ||
		h == HeapNoExtern:
	case h >= -0x40 && typeProposal(byte(h&0x7f)) != "":
		r.unsupported(at, typeProposal(byte(h&0x7f)), "heap type %#x", byte(h&0x7f))
	default:
		r.failAt(at, "unknown heap type %d", h)
	}
	return h
}

// typeProposal returns the proposal that a type's first byte belongs to, or "".
func typeProposal(code byte) string {
	switch code {
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, nullExternRef, nullFuncRef, 0x78, 0x77, 0x50, 0x4f,
		0x4e, 0x5e, 0x5f:
		return proposalGC
	case 0x69, 0x74:
		return proposalExceptions
	case 0x68, 0x75, 0x5d:
		return proposalStackSwitching
	case 0x67, 0x66, 0x62, 0x61:
		return proposalStringref
	case 0x65:
		return proposalThreads
	}
	return ""
}

// AppendValueType appends t to dst in the binary format.
func AppendValueType(dst []byte, t ValueType) []byte {
	dst = append(dst, t.Code)
	if t.Code == Ref || t.Code == RefNull {
		dst = AppendInt64(dst, t.Heap)
	}
	return dst
}

// limits reads the limits of a table or memory.
func (r *reader) limits(what string, most uint32) Limits {
	at := r.pos
	flags := r.byte("limits of the " + what)
	switch {
	case r.err != nil:
		return Limits{}
	case flags&^0x0f != 0:
		r.failAt(at, "limits flags %#x, expected 0 or 1", flags)
	case flags&8 != 0:
		r.unsupported(at, proposalPageSizes, "%s with a page size", what)
	case flags&4 != 0:
		r.unsupported(at, proposalMemory64, "64-bit %s", what)
	case flags&2 != 0:
		r.unsupported(at, proposalThreads, "shared %s", what)
	}
	l := Limits{HasMax: flags&1 != 0}
	at = r.pos
	l.Min = r.u32("minimum of the " + what)
	if l.HasMax {
		l.Max = r.u32("maximum of the " + what)
	}
	switch {
	case r.err != nil:
	case l.Min > most:
		r.failAt(at, "minimum of the %s is %d, expected at most %d", what, l.Min, most)
	case l.HasMax && l.Max < l.Min:
		r.failAt(at, "maximum %d of the %s is below its minimum %d", l.Max, what, l.Min)
	}
	return l
}

func appendLimits(dst []byte, l Limits) []byte {
	if !l.HasMax {
		return AppendUint32(append(dst, 0), l.Min)
	}
	return AppendUint32(AppendUint32(append(dst, 1), l.Min), l.Max)
}
