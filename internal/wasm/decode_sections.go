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

func (d *decoder) types(r *reader) {
	n := r.count("types", 3, MaxTypes)
	d.module.Types = make([]FuncType, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		form := r.byte("function type")
		if proposal := typeProposal(form); proposal != "" {
			r.unsupported(at, proposal, "type form %#x", form)
			return
		}
		if r.err == nil && form != 0x60 {
			r.failAt(at, "type form %#x, expected 0x60 of a function type", form)
			return
		}
		d.module.Types = append(d.module.Types, FuncType{
			Params:  d.valueTypes(r, "parameter type", MaxParams, i),
			Results: d.valueTypes(r, "result type", MaxResults, i),
		})
	}
}

// valueTypes reads a vector of value types, which may refer to the first known types.
func (d *decoder) valueTypes(r *reader, what string, limit, known int) []ValueType {
	n := r.count(what+"s", 1, limit)
	if n == 0 {
		return nil
	}
	types := make([]ValueType, n)
	for i := range types {
		at := r.pos
		types[i] = r.valueType(what)
		r.checkHeap(at, types[i], known)
	}
	return types
}

// checkHeap checks that the type index of a reference type exists.
func (r *reader) checkHeap(at int, t ValueType, known int) {
	if r.err == nil && (t.Code == Ref || t.Code == RefNull) && t.Heap >= int64(known) {
		r.failAt(at, "reference to unknown type %d, expected an index below %d", t.Heap, known)
	}
}

func (d *decoder) externKind(r *reader, what string) ExternKind {
	at := r.pos
	kind := r.byte("kind of the " + what)
	switch {
	case r.err != nil:
	case kind == 4:
		r.unsupported(at, proposalExceptions, "tag %s", what)
	case kind > 4:
		r.failAt(at, "%s kind %#x, expected 0 to 3", what, kind)
	}
	return ExternKind(kind)
}

func (d *decoder) functionSection(r *reader) {
	n := r.count("functions", 1, MaxFunctions)
	d.module.Functions = make([]uint32, n)
	for i := range d.module.Functions {
		d.module.Functions[i] = r.index("type", len(d.module.Types))
	}
	d.functions += n
}

func (d *decoder) tableType(r *reader) TableType {
	at := r.pos
	t := TableType{Element: r.refType("element type of the table")}
	r.checkHeap(at, t.Element, len(d.module.Types))
	t.Limits = r.limits("table", MaxTableSize)
	return t
}

// tableSection reads the tables. A table with an initial expression for its entries starts with the
// bytes 0x40 0x00 (typed function references).
func (d *decoder) tableSection(r *reader) {
	n := r.count("tables", 3, MaxTables)
	d.module.Tables = make([]Table, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		var t Table
		hasInit := r.pos < r.end && r.buf[r.pos] == 0x40
		if hasInit {
			r.pos++
			at := r.pos
			if b := r.byte("0x00 of a table with initializer"); r.err == nil && b != 0 {
				r.failAt(at, "%#x, expected 0x00 of a table with initializer", b)
			}
		}
		t.Type = d.tableType(r)
		if hasInit {
			at := r.pos
			t.Init = d.constExpr(r)
			d.reference(r, at, t.Type.Element, t.Init)
		}
		d.module.Tables = append(d.module.Tables, t)
	}
	d.tables += n
}

func (d *decoder) memorySection(r *reader) {
	n := r.count("memories", 2, MaxImports)
	for i := 0; i < n && r.err == nil; i++ {
		d.module.Memories = append(d.module.Memories, d.memory(r, r.pos))
	}
}

func (d *decoder) memory(r *reader, at int) Limits {
	d.countMemory(r, at)
	return d.memoryType(r)
}

// countMemory adds a memory to the index space, which may hold only one.
func (d *decoder) countMemory(r *reader, at int) {
	if d.memories++; d.memories > 1 {
		r.unsupported(at, proposalMultiMemory, "second memory")
	}
}

func (d *decoder) memoryType(r *reader) Limits {
	at := r.pos
	l := r.limits("memory", MaxMemoryPages)
	if r.err == nil && l.HasMax && l.Max > MaxMemoryPages {
		r.failAt(at, "maximum of the memory is %d pages, expected at most %d", l.Max,
			MaxMemoryPages)
	}
	return l
}

func (d *decoder) globalType(r *reader) GlobalType {
	at := r.pos
	t := GlobalType{Type: r.valueType("type of the global")}
	r.checkHeap(at, t.Type, len(d.module.Types))
	at = r.pos
	mutable := r.byte("mutability of the global")
	switch {
	case mutable&^3 == 0 && mutable&2 != 0:
		r.unsupported(at, proposalThreads, "shared global")
	case mutable > 1:
		r.failAt(at, "mutability %#x, expected 0 or 1", mutable)
	}
	t.Mutable = mutable == 1
	return t
}

func (d *decoder) globalSection(r *reader) {
	n := r.count("globals", 4, MaxGlobals)
	d.module.Globals = make([]Global, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		g := Global{Type: d.globalType(r)}
		at := r.pos
		g.Init = d.constExpr(r)
		d.reference(r, at, g.Type.Type, g.Init)
		d.module.Globals = append(d.module.Globals, g)
		// The global is added only now, because its initializer may use only earlier globals.
		d.globals = append(d.globals, g.Type)
	}
}

func (d *decoder) exports(r *reader) {
	n := r.count("exports", 3, MaxExports)
	d.module.Exports = make([]Export, 0, n)
	names := make(map[string]struct{}, n)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		e := Export{Name: r.name("name of the export"), Kind: d.externKind(r, "export")}
		if _, twice := names[e.Name]; twice {
			r.failAt(at, "second export %q", e.Name)
			return
		}
		names[e.Name] = struct{}{}
		space := [...]int{
			ExternFunction: d.functions,
			ExternTable:    d.tables,
			ExternMemory:   d.memories,
			ExternGlobal:   len(d.globals),
		}
		if int(e.Kind) < len(space) {
			e.Index = r.index(e.Kind.String(), space[e.Kind])
		}
		d.module.Exports = append(d.module.Exports, e)
	}
}
