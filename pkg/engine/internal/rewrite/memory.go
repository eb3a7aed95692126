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
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

const pageSize = 65536

// limitMemory sets the declared maximum of the memory and reports what the module had declared. An
// imported memory can become the module's own. There is at most one, so its index stays zero.
func (r *rewriter) limitMemory() error {
	m := r.module
	for i := range m.Imports {
		im := &m.Imports[i]
		if im.Kind != wasm.ExternMemory {
			continue
		}
		r.result.Memory = Memory{Imported: true, ImportModule: im.Module, ImportName: im.Name}
		if err := r.limit(&im.Memory); err != nil {
			return err
		}
		if r.options.AdoptMemory {
			m.Memories = append(m.Memories, im.Memory)
			m.Imports = slices.Delete(m.Imports, i, i+1)
		}
		return nil
	}
	if len(m.Memories) > 0 {
		return r.limit(&m.Memories[0])
	}
	return nil
}

func (r *rewriter) limit(l *wasm.Limits) error {
	memory := &r.result.Memory
	memory.Present = true
	memory.MinPages, memory.OriginalMax, memory.HasMax = l.Min, l.Max, l.HasMax
	if l.Min > r.options.MemoryMaxPages {
		return fmt.Errorf(
			"module needs a memory of at least %d pages (%d bytes), the limit is %d pages (%d bytes)",
			l.Min, uint64(l.Min)*pageSize, r.options.MemoryMaxPages,
			uint64(r.options.MemoryMaxPages)*pageSize)
	}
	l.Max, l.HasMax = r.options.MemoryMaxPages, true
	return nil
}

// limitTables lowers the declared maximum of the module's own tables, because table.grow allocates
// on the host, like memory.grow. The limit applies to the sum of all tables, because a module may
// have any number. The tables share evenly what their minimums leave of it. An imported table is
// limited by its owner.
func (r *rewriter) limitTables() error {
	tables := r.module.Tables
	if len(tables) == 0 {
		return nil
	}
	var least uint64
	for i := range tables {
		least += uint64(tables[i].Type.Limits.Min)
	}
	if least > uint64(r.options.TableMaxEntries) {
		return fmt.Errorf(
			"module needs tables of at least %d entries, the limit is %d: raise limits.tableEntries",
			least, r.options.TableMaxEntries)
	}
	share := (r.options.TableMaxEntries - uint32(least)) / uint32(len(tables))
	for i := range tables {
		l := &tables[i].Type.Limits
		if most := l.Min + share; !l.HasMax || l.Max > most {
			l.Max, l.HasMax = most, true
		}
	}
	return nil
}

// extractData extracts all active data segments from the module, or none, because the order of
// overlapping segments matters.
func (r *rewriter) extractData() error {
	m := r.module
	if !r.options.ExtractData {
		return nil
	}
	image, passive, kept := r.image()
	if kept != "" {
		r.result.ImageKept = kept
		return nil
	}
	r.result.Image = image
	if !passive {
		m.DropData()
		return nil
	}
	// Passive segments keep their indices: an empty segment replaces each active one.
	for i := range m.Data {
		if m.Data[i].Mode == wasm.SegmentActive {
			m.Data[i] = wasm.DataSegment{Offset: wasm.I32Const(0)}
		}
	}
	return nil
}

// image returns the content of the active segments, whether there are passive ones, and the reason
// if the active ones must stay.
func (r *rewriter) image() (image []Segment, passive bool, kept string) {
	if r.facts.usesActiveData {
		return nil, false, "memory.init or data.drop refers to an active data segment"
	}
	size := uint64(r.result.Memory.MinPages) * pageSize
	image = make([]Segment, 0, len(r.module.Data))
	for i := range r.module.Data {
		segment := &r.module.Data[i]
		if segment.Mode == wasm.SegmentPassive {
			passive = true
			continue
		}
		offset, constant := segment.Offset.I32()
		switch {
		case !constant:
			return nil, false, fmt.Sprintf("the offset of data segment %d is not an i32.const", i)
		case uint64(uint32(offset))+uint64(len(segment.Bytes)) > size:
			// Instantiating the module must fail, as it would without the rewrite.
			return nil, false, fmt.Sprintf("data segment %d lies outside of the initial memory", i)
		}
		image = append(image, Segment{Offset: uint32(offset), Bytes: segment.Bytes})
	}
	if len(image) == 0 {
		image = nil
	}
	return image, passive, ""
}
