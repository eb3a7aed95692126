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

// Encode returns the module in the binary format. Sizes, counts and indices outside of code and
// expressions take their shortest form. Everything else stays as Decode found it or as the caller
// set it.
func (m *Module) Encode() []byte {
	out := make([]byte, 0, m.estimateSize())
	out = append(append(out, magic...), version...)
	out = m.appendCustom(out, sectionCustom)
	var payload []byte
	for _, id := range sectionOrder {
		if id == sectionCode {
			out = m.appendCode(out)
		} else if payload = m.appendSection(payload[:0], id); len(payload) > 0 {
			out = AppendUint32(append(out, byte(id)), uint32(len(payload)))
			out = append(out, payload...)
		}
		out = m.appendCustom(out, id)
	}
	return out
}

// estimateSize returns the approximate size of the encoded module, to avoid reallocations.
func (m *Module) estimateSize() int {
	size := 4096 + 8*len(m.Types) + 32*len(m.Imports) + 4*len(m.Functions) + 16*len(m.Globals) +
		32*len(m.Exports)
	for i := range m.Bodies {
		size += m.Bodies[i].size() + maxLEB32
	}
	for i := range m.Data {
		size += len(m.Data[i].Bytes) + 16
	}
	for i := range m.Elements {
		size += maxLEB32*len(m.Elements[i].Functions) + 8*len(m.Elements[i].Exprs)
	}
	for i := range m.Custom {
		size += len(m.Custom[i].Payload) + len(m.Custom[i].Name) + 16
	}
	return size
}

// maxLEB32 is the maximum size of an encoded 32-bit integer.
const maxLEB32 = 5

// appendCustom appends the custom sections that follow section id.
func (m *Module) appendCustom(out []byte, id sectionID) []byte {
	for i := range m.Custom {
		c := &m.Custom[i]
		if c.after == id {
			out = appendCustom(out, c.Name, c.Payload)
		}
	}
	return out
}

// appendSection appends the content of a section, or nothing if the module has no such section.
func (m *Module) appendSection(out []byte, id sectionID) []byte {
	switch id {
	case sectionType:
		return appendVector(out, m.present[id], m.Types, appendFuncType)
	case sectionImport:
		return appendVector(out, m.present[id], m.Imports, appendImport)
	case sectionFunction:
		return appendVector(out, m.present[id], m.Functions, appendIndex)
	case sectionTable:
		return appendVector(out, m.present[id], m.Tables, appendTable)
	case sectionMemory:
		return appendVector(out, m.present[id], m.Memories, appendMemory)
	case sectionGlobal:
		return appendVector(out, m.present[id], m.Globals, appendGlobal)
	case sectionExport:
		return appendVector(out, m.present[id], m.Exports, appendExport)
	case sectionStart:
		if m.Start != nil {
			out = AppendUint32(out, *m.Start)
		}
	case sectionElement:
		return appendVector(out, m.present[id], m.Elements, appendElement)
	case sectionDataCount:
		if m.DataCount != nil {
			out = AppendUint32(out, *m.DataCount)
		}
	case sectionData:
		return appendVector(out, m.present[id], m.Data, appendData)
	}
	return out
}

// appendCode appends the code section. It is most of a module, so its size is computed first and it
// is written in place.
func (m *Module) appendCode(out []byte) []byte {
	if len(m.Bodies) == 0 && !m.present[sectionCode] {
		return out
	}
	size := sizeUint32(uint32(len(m.Bodies)))
	for i := range m.Bodies {
		n := m.Bodies[i].size()
		size += sizeUint32(uint32(n)) + n
	}
	out = AppendUint32(append(out, byte(sectionCode)), uint32(size))
	out = AppendUint32(out, uint32(len(m.Bodies)))
	for i := range m.Bodies {
		b := &m.Bodies[i]
		out = AppendUint32(out, uint32(b.size()))
		out = AppendUint32(out, b.LocalGroups)
		out = append(out, b.LocalDecls...)
		out = append(out, b.Code...)
	}
	return out
}

func (b *Body) size() int { return sizeUint32(b.LocalGroups) + len(b.LocalDecls) + len(b.Code) }

// appendVector appends a vector. It omits an empty one unless keep is set.
func appendVector[T any](out []byte, keep bool, items []T,
	appendItem func([]byte, *T) []byte) []byte {
	if len(items) == 0 && !keep {
		return out
	}
	out = AppendUint32(out, uint32(len(items)))
	for i := range items {
		out = appendItem(out, &items[i])
	}
	return out
}

func appendName(out []byte, name string) []byte {
	return append(AppendUint32(out, uint32(len(name))), name...)
}

func appendIndex(out []byte, index *uint32) []byte { return AppendUint32(out, *index) }
