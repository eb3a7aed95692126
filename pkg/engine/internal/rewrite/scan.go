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

package rewrite

import (
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// facts are the properties of the whole module that the passes need.
type facts struct {
	// usesActiveData is set if an instruction refers to an active data segment.
	usesActiveData bool
	// scratchTable is the table through which [lowerCode] makes calls, or nil. Its content does not
	// matter.
	scratchTable *uint32
	// addressTaken marks the functions to which a reference exists.
	addressTaken []bool
	// escapes is set if function references may leave or enter the module.
	escapes bool
}

// mutators are the instructions that change state outside of memory and globals.
var mutators = map[wasm.Opcode]string{
	wasm.OpTableSet:  "table.set changes a table",
	wasm.OpTableGrow: "table.grow changes a table",
	wasm.OpTableInit: "table.init changes a table",
	wasm.OpTableCopy: "table.copy changes a table",
	wasm.OpTableFill: "table.fill changes a table",
	wasm.OpElemDrop:  "elem.drop drops an element segment",
	wasm.OpDataDrop:  "data.drop drops a data segment",
}

// scan checks all bodies, gathers the facts, and builds the call graph. Hardly any module has typed
// references, so scan lowers the code only after it found some.
func (r *rewriter) scan() error {
	err := r.scanBodies(r.options.LowerReferences)
	if errors.Is(err, errTyped) {
		if r.facts.scratchTable, err = lowerCode(r.module); err == nil {
			err = r.scanBodies(false)
		}
	}
	if err != nil {
		return err
	}
	r.graph.finish(r.facts.addressTaken)
	return nil
}

// errTyped ends a scan that looks for typed references.
var errTyped = errors.New("the code has typed references")

// scanBodies walks over all bodies once. With lower set, it returns errTyped if any must be
// lowered.
func (r *rewriter) scanBodies(lower bool) error {
	m := r.module
	r.facts.addressTaken = make([]bool, len(r.functionTypes))
	r.takeAddresses()
	r.facts.escapes = r.referencesEscape()
	r.reportImportedState()
	s := scanner{r: r, cursor: m.Cursor(), lower: lower, declared: r.declaredFunctions()}
	r.graph.init(m, r.imported, r.functionTypes)
	r.codeBytes = 0
	for i := range m.Bodies {
		r.codeBytes += len(m.Bodies[i].Code)
		r.graph.begin(uint32(i))
		if err := s.body(uint32(i)); err != nil {
			return err
		}
	}
	return nil
}

// scanner scans one body after another.
type scanner struct {
	r      *rewriter
	cursor *wasm.Cursor
	lower  bool
	// declared marks the functions that ref.func in code may refer to.
	declared []bool
}

func (s *scanner) body(i uint32) error {
	body := &s.r.module.Bodies[i]
	if s.lower && mayHaveTyped(body) {
		return errTyped
	}
	s.cursor.Reset(body, len(s.r.functionType(s.r.imported+i).Params))
	for in := (wasm.Instruction{}); s.cursor.NextNotable(&in); {
		if isPlain(in.Op) {
			continue
		}
		if s.lower && isTyped(&in, s.cursor) {
			return errTyped
		}
		if err := s.instruction(body, &in); err != nil {
			return err
		}
	}
	if err := s.cursor.Err(); err != nil {
		return fmt.Errorf("function %d: %w", s.r.imported+i, err)
	}
	return nil
}

// isPlain reports whether the scan can skip an instruction, as it can most code.
func isPlain(op wasm.Opcode) bool {
	return op >= wasm.OpLocalGet && op < wasm.OpRefNull && op != wasm.OpTableSet
}

func (s *scanner) instruction(body *wasm.Body, in *wasm.Instruction) error {
	r := s.r
	switch in.Op {
	case wasm.OpCall, wasm.OpReturnCall:
		r.graph.call(in.X)
	case wasm.OpCallIndirect, wasm.OpReturnCallIndirect, wasm.OpCallRef, wasm.OpReturnCallRef:
		r.graph.indirectCall(in.X)
	case wasm.OpRefFunc:
		if !s.declared[in.X] {
			return &wasm.Error{
				Offset: body.Offset + in.Start,
				Message: fmt.Sprintf(
					"ref.func of function %d, expected one that is declared outside of the code",
					in.X),
			}
		}
	case wasm.OpMemoryInit, wasm.OpDataDrop:
		return r.scanDataUse(body, in)
	case wasm.OpTableSet:
		if r.facts.scratchTable == nil || in.X != *r.facts.scratchTable {
			r.needsFresh(mutators[in.Op])
		}
	case wasm.OpTableGrow, wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill, wasm.OpElemDrop:
		r.needsFresh(mutators[in.Op])
	}
	return nil
}

func (r *rewriter) scanDataUse(body *wasm.Body, in *wasm.Instruction) error {
	data := r.module.Data
	if uint64(in.X) >= uint64(len(data)) {
		return &wasm.Error{
			Offset: body.Offset + in.Start,
			Message: fmt.Sprintf("unknown data segment %d, expected an index below %d", in.X,
				len(data)),
		}
	}
	if data[in.X].Mode == wasm.SegmentActive {
		r.facts.usesActiveData = true
	}
	if in.Op == wasm.OpDataDrop {
		r.needsFresh(mutators[in.Op])
	}
	return nil
}

// takeAddresses marks the functions that element segments and constant expressions refer to. A
// valid module uses ref.func in code only for these and for exported functions.
func (r *rewriter) takeAddresses() {
	m := r.module
	mark := func(index uint32) { r.facts.addressTaken[index] = true }
	for i := range m.Elements {
		e := &m.Elements[i]
		for _, index := range e.Functions {
			mark(index)
		}
		for _, expr := range e.Exprs {
			expr.Functions(mark)
		}
	}
	for i := range m.Globals {
		m.Globals[i].Init.Functions(mark)
	}
	for i := range m.Tables {
		m.Tables[i].Init.Functions(mark)
	}
}

// declaredFunctions marks the functions that ref.func in code may refer to. The rewrite checks this
// because it may add an export, which declares a function.
func (r *rewriter) declaredFunctions() []bool {
	declared := make([]bool, len(r.functionTypes))
	copy(declared, r.facts.addressTaken)
	for i := range r.module.Exports {
		if e := &r.module.Exports[i]; e.Kind == wasm.ExternFunction {
			declared[e.Index] = true
			// Exported functions count as address-taken: ref.func may refer to them.
			r.facts.addressTaken[e.Index] = true
		}
	}
	return declared
}

// referencesEscape reports whether function references can pass between the module and the outside:
// as parameters or results, or through an imported or exported table or global. The outside may
// then call functions that are not exported.
func (r *rewriter) referencesEscape() bool {
	m := r.module
	tables, globals := m.TableTypes(), m.GlobalTypes()
	for i := range m.Imports {
		im := &m.Imports[i]
		switch im.Kind {
		case wasm.ExternTable:
			return true
		case wasm.ExternGlobal:
			if im.Global.Type.IsFunctionReference() {
				return true
			}
		case wasm.ExternFunction:
			if passesFunctions(&m.Types[im.TypeIndex]) {
				return true
			}
		}
	}
	for i := range m.Exports {
		e := &m.Exports[i]
		switch e.Kind {
		case wasm.ExternTable:
			if tables[e.Index].Element.IsFunctionReference() {
				return true
			}
		case wasm.ExternGlobal:
			if globals[e.Index].Type.IsFunctionReference() {
				return true
			}
		case wasm.ExternFunction:
			if passesFunctions(r.functionType(e.Index)) {
				return true
			}
		}
	}
	return false
}

func passesFunctions(t *wasm.FuncType) bool {
	for _, types := range [...][]wasm.ValueType{t.Params, t.Results} {
		for _, vt := range types {
			if vt.IsFunctionReference() {
				return true
			}
		}
	}
	return false
}

// reportImportedState reports state that others own: resetting the instance cannot restore it.
func (r *rewriter) reportImportedState() {
	for i := range r.module.Imports {
		im := &r.module.Imports[i]
		switch {
		case im.Kind == wasm.ExternTable:
			r.needsFresh(fmt.Sprintf("table %s.%s is imported", im.Module, im.Name))
		case im.Kind == wasm.ExternGlobal && im.Global.Mutable:
			r.needsFresh(fmt.Sprintf("mutable global %s.%s is imported", im.Module, im.Name))
		}
	}
}
