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

// These bytes replace an import's kind where several imports of one module are encoded together
// (compact import section), after an empty name.
const (
	importsOfModule byte = 0x7f // names with a type each
	importsOfType   byte = 0x7e // a type, and names
)

// imports reads the import section. It splits imports that are encoded together, and
// [Module.Encode] writes them separately.
func (d *decoder) imports(r *reader) {
	n := r.count("imports", 4, MaxImports)
	d.module.Imports = make([]Import, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		im := Import{Module: r.name("module of the import"), Name: r.name("name of the import")}
		kind := byte(0)
		if im.Name == "" && r.pos < r.end {
			kind = r.buf[r.pos]
		}
		switch kind {
		case importsOfModule:
			r.pos++
			d.module.compact = true
			d.importsOfModule(r, im.Module)
		case importsOfType:
			r.pos++
			d.module.compact = true
			d.importsOfType(r, im.Module)
		default:
			d.importType(r, &im)
			d.addImport(r, im)
		}
	}
}

func (d *decoder) importsOfModule(r *reader, module string) {
	n := r.count("imports of the module", 3, MaxImports)
	for i := 0; i < n && r.err == nil; i++ {
		im := Import{Module: module, Name: r.name("name of the import")}
		d.importType(r, &im)
		d.addImport(r, im)
	}
}

func (d *decoder) importsOfType(r *reader, module string) {
	im := Import{Module: module}
	d.importType(r, &im)
	n := r.count("imports of the type", 1, MaxImports)
	for i := 0; i < n && r.err == nil; i++ {
		im.Name = r.name("name of the import")
		d.addImport(r, im)
	}
}

// importType reads the type of an import.
func (d *decoder) importType(r *reader, im *Import) {
	im.Kind = d.externKind(r, "import")
	if r.err != nil {
		return
	}
	switch im.Kind {
	case ExternFunction:
		im.TypeIndex = r.index("type", len(d.module.Types))
	case ExternTable:
		im.Table = d.tableType(r)
	case ExternMemory:
		im.Memory = d.memoryType(r)
	case ExternGlobal:
		im.Global = d.globalType(r)
	}
}

// addImport appends an import to the module and to the index space of its kind.
func (d *decoder) addImport(r *reader, im Import) {
	if r.err != nil {
		return
	}
	if len(d.module.Imports) == MaxImports {
		r.fail("more than %d imports", MaxImports)
		return
	}
	switch im.Kind {
	case ExternFunction:
		d.functions++
	case ExternTable:
		d.tables++
	case ExternMemory:
		d.countMemory(r, r.pos)
	case ExternGlobal:
		d.globals = append(d.globals, im.Global)
	}
	d.module.Imports = append(d.module.Imports, im)
}
