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

// Flags of an element segment (https://www.w3.org/TR/wasm-core-2/#element-section).
const (
	elementNotActive = 1 << iota
	// elementExplicit marks a table index in an active segment. Any other segment with it is
	// declarative.
	elementExplicit
	elementExprs
)

func (d *decoder) elements(r *reader) {
	n := r.count("element segments", 2, MaxElementSegments)
	for i := 0; i < n && r.err == nil; i++ {
		d.module.Elements = append(d.module.Elements, d.element(r))
	}
}

func (d *decoder) element(r *reader) Element {
	at := r.pos
	flags := r.u32("flags of the element segment")
	if r.err == nil && flags > 7 {
		r.failAt(at, "element segment flags %#x, expected 0 to 7", flags)
	}
	if r.err != nil {
		return Element{}
	}
	e := Element{Type: ValueType{Code: FuncRef}, UsesExprs: flags&elementExprs != 0}
	active := flags&elementNotActive == 0
	e.explicit = active && flags&elementExplicit != 0
	switch {
	case active:
		at = r.pos
		if e.explicit {
			e.Table = r.index("table", d.tables)
		} else if d.tables == 0 {
			r.failAt(at, "active element segment, but there is no table")
		}
		e.Offset = d.constExpr(r)
	case flags&elementExplicit != 0:
		e.Mode = SegmentDeclarative
	default:
		e.Mode = SegmentPassive
	}
	if flags&(elementNotActive|elementExplicit) != 0 {
		d.elementType(r, &e)
	}
	d.elementEntries(r, &e)
	return e
}

// elementType reads the type of a segment of expressions, or the kind of a segment of function
// indices, which is always zero.
func (d *decoder) elementType(r *reader, e *Element) {
	at := r.pos
	if e.UsesExprs {
		e.Type = r.refType("type of the element segment")
		r.checkHeap(at, e.Type, len(d.module.Types))
		return
	}
	if kind := r.byte("element kind"); r.err == nil && kind != 0 {
		r.failAt(at, "element kind %#x, expected 0", kind)
	}
}

func (d *decoder) elementEntries(r *reader, e *Element) {
	if !e.UsesExprs {
		n := r.count("functions of the element segment", 1, MaxTableSize)
		e.Functions = make([]uint32, n)
		for i := range e.Functions {
			e.Functions[i] = r.index("function", d.functions)
		}
		return
	}
	n := r.count("expressions of the element segment", 2, MaxTableSize)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		expr := d.constExpr(r)
		d.reference(r, at, e.Type, expr)
		e.Exprs = append(e.Exprs, expr)
	}
}

func (d *decoder) data(r *reader) {
	n := r.count("data segments", 2, MaxDataSegments)
	d.module.Data = make([]DataSegment, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		d.module.Data = append(d.module.Data, d.dataSegment(r))
	}
}

func (d *decoder) dataSegment(r *reader) DataSegment {
	at := r.pos
	flags := r.u32("flags of the data segment")
	if r.err == nil && flags > 2 {
		r.failAt(at, "data segment flags %#x, expected 0 to 2", flags)
	}
	s := DataSegment{explicit: flags == 2}
	if flags == 1 {
		s.Mode = SegmentPassive
	} else {
		at = r.pos
		if s.explicit {
			if index := r.u32("memory index"); index != 0 {
				r.unsupported(at, proposalMultiMemory, "data segment for memory %d", index)
			}
		}
		if r.err == nil && d.memories == 0 {
			r.failAt(at, "active data segment, but there is no memory")
		}
		s.Offset = d.constExpr(r)
	}
	s.Bytes = r.bytes("data segment")
	return s
}

func (d *decoder) code(r *reader) {
	n := r.count("function bodies", 3, MaxFunctions)
	if r.err == nil && n != len(d.module.Functions) {
		r.fail("%d function bodies, expected %d as declared", n, len(d.module.Functions))
		return
	}
	d.module.Bodies = make([]Body, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		size := r.count("bytes of the function body", 1, MaxBodySize)
		b := &reader{buf: r.buf, pos: r.pos, end: r.pos + size, err: r.err}
		d.module.Bodies = append(d.module.Bodies, d.body(b, at))
		r.pos, r.err = b.end, b.err
	}
}

// body reads the local declarations and takes the rest as code. [Cursor] reads the instructions.
func (d *decoder) body(r *reader, at int) Body {
	groups := r.count("local declarations", 2, MaxBodySize)
	start := r.pos
	var locals uint64
	for i := 0; i < groups && r.err == nil; i++ {
		locals += uint64(r.u32("number of locals"))
		if r.err == nil && locals > MaxLocals {
			r.fail("%d locals, expected at most %d", locals, MaxLocals)
		}
		typeAt := r.pos
		r.checkHeap(typeAt, r.valueType("type of the locals"), len(d.module.Types))
	}
	if r.err != nil {
		return Body{}
	}
	if r.pos == r.end || r.buf[r.end-1] != byte(OpEnd) {
		r.failAt(at, "the function body has no end instruction as its last byte")
		return Body{}
	}
	return Body{
		LocalGroups: uint32(groups),
		LocalDecls:  r.buf[start:r.pos:r.pos],
		Locals:      uint32(locals),
		Code:        r.buf[r.pos:r.end:r.end],
		Offset:      r.pos,
	}
}
