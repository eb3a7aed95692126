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

func appendFuncType(out []byte, t *FuncType) []byte {
	out = append(out, 0x60)
	for _, types := range [...][]ValueType{t.Params, t.Results} {
		out = AppendUint32(out, uint32(len(types)))
		for _, vt := range types {
			out = AppendValueType(out, vt)
		}
	}
	return out
}

func appendImport(out []byte, im *Import) []byte {
	out = appendName(out, im.Module)
	out = appendName(out, im.Name)
	out = append(out, byte(im.Kind))
	switch im.Kind {
	case ExternFunction:
		return AppendUint32(out, im.TypeIndex)
	case ExternTable:
		return appendTableType(out, &im.Table)
	case ExternMemory:
		return appendLimits(out, im.Memory)
	default:
		return appendGlobalType(out, im.Global)
	}
}

func appendTableType(out []byte, t *TableType) []byte {
	return appendLimits(AppendValueType(out, t.Element), t.Limits)
}

func appendTable(out []byte, t *Table) []byte {
	if t.Init == nil {
		return appendTableType(out, &t.Type)
	}
	out = append(out, 0x40, 0x00)
	return append(appendTableType(out, &t.Type), t.Init...)
}

func appendMemory(out []byte, l *Limits) []byte { return appendLimits(out, *l) }

func appendGlobalType(out []byte, t GlobalType) []byte {
	out = AppendValueType(out, t.Type)
	if t.Mutable {
		return append(out, 1)
	}
	return append(out, 0)
}

func appendGlobal(out []byte, g *Global) []byte {
	return append(appendGlobalType(out, g.Type), g.Init...)
}

func appendExport(out []byte, e *Export) []byte {
	out = append(appendName(out, e.Name), byte(e.Kind))
	return AppendUint32(out, e.Index)
}

func appendElement(out []byte, e *Element) []byte {
	var flags uint32
	if e.UsesExprs {
		flags |= elementExprs
	}
	explicit := e.explicit || e.Table != 0
	switch {
	case e.Mode == SegmentPassive:
		flags |= elementNotActive
	case e.Mode == SegmentDeclarative:
		flags |= elementNotActive | elementExplicit
	case explicit:
		flags |= elementExplicit
	}
	out = AppendUint32(out, flags)
	if e.Mode == SegmentActive {
		if explicit {
			out = AppendUint32(out, e.Table)
		}
		out = append(out, e.Offset...)
	}
	if flags&(elementNotActive|elementExplicit) != 0 {
		if e.UsesExprs {
			out = AppendValueType(out, e.Type)
		} else {
			out = append(out, 0)
		}
	}
	if !e.UsesExprs {
		return appendVector(out, true, e.Functions, appendIndex)
	}
	return appendVector(out, true, e.Exprs, func(out []byte, expr *ConstExpr) []byte {
		return append(out, *expr...)
	})
}

func appendData(out []byte, s *DataSegment) []byte {
	switch {
	case s.Mode == SegmentPassive:
		out = append(out, 1)
	case s.explicit:
		out = append(append(out, 2, 0), s.Offset...)
	default:
		out = append(append(out, 0), s.Offset...)
	}
	out = AppendUint32(out, uint32(len(s.Bytes)))
	return append(out, s.Bytes...)
}
