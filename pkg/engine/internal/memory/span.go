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

package memory

import (
	"bytes"
	"cmp"
	"slices"
)

// span is a stretch of a linear memory, by offset, in units of a granule.
type span struct{ lo, hi uint64 }

// granule is the unit in which content is told from zeros: a page on most systems.
const granule = uint64(len(zeros))

// merge sorts spans and joins those that touch or overlap.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	merged := spans[:0]
	for _, s := range spans {
		if last := len(merged) - 1; last >= 0 && s.lo <= merged[last].hi {
			merged[last].hi = max(merged[last].hi, s.hi)
		} else if s.lo < s.hi {
			merged = append(merged, s)
		}
	}
	return merged
}

// spansOf returns the merged spans of the segments.
func spansOf(segments []Segment) []span {
	spans := make([]span, 0, len(segments))
	for _, s := range segments {
		if len(s.Data) > 0 {
			spans = append(spans,
				span{s.Offset / granule * granule, roundUp(s.Offset+uint64(len(s.Data)), granule)})
		}
	}
	return merge(spans)
}

// appendContent appends the content of a span of mem, without granules of zeros.
func appendContent(segments []Segment, mem []byte, s span) []Segment {
	for at := s.lo; at < s.hi; at += granule {
		piece := mem[at : at+granule]
		if isClear(piece) {
			continue
		}
		if last := len(segments) - 1; last >= 0 && segments[last].Offset+
			uint64(len(segments[last].Data)) == at {
			segments[last].Data = mem[segments[last].Offset : at+granule]
			continue
		}
		segments = append(segments, Segment{Offset: at, Data: piece})
	}
	return segments
}

// refill sets mem[lo:hi] to the image's content. Both bounds are multiples of a granule.
func (i *Image) refill(mem []byte, lo, hi uint64) {
	for _, p := range i.from(lo) {
		if p.lo >= hi {
			break
		}
		if lo < p.lo {
			clearPages(mem[lo:p.lo])
			lo = p.lo
		}
		for end := min(hi, p.hi); lo < end; lo += granule {
			copyGranule(mem[lo:], i.data[lo:])
		}
	}
	clearPages(mem[lo:hi])
}

// from returns the parts of the image that end after an offset.
func (i *Image) from(offset uint64) []span {
	n, _ := slices.BinarySearchFunc(i.parts, offset, func(p span, offset uint64) int {
		if p.hi <= offset {
			return -1
		}
		return 1
	})
	return i.parts[n:]
}

// equals reports whether mem[lo:hi] equals the image's content.
func (i *Image) equals(mem []byte, lo, hi uint64) bool {
	for _, p := range i.from(lo) {
		if p.lo >= hi {
			break
		}
		begin, end := max(lo, p.lo), min(hi, p.hi)
		if trimZeros(mem[lo:begin]) != 0 || !bytes.Equal(mem[begin:end], i.data[begin:end]) {
			return false
		}
		lo = end
	}
	return trimZeros(mem[lo:hi]) == 0
}

// clearPages clears whole granules.
func clearPages(mem []byte) {
	for ; len(mem) > 0; mem = mem[granule:] {
		clearGranule(mem)
	}
}

// Loops over many granules call one of the following functions for each granule. They are not
// inlined, so that a goroutine can be stopped between calls. Runtime code that moves or clears
// memory cannot be stopped, even for a hundred MiB at a time. A loop around it without calls of its
// own has too few places where the signals that stop a goroutine can take effect.

//go:noinline
func copyGranule(to, from []byte) {
	copy(to[:granule], from[:granule])
}

// clearGranule skips memory that is already zero: clearing it would turn a zero page of the kernel
// into a private page.
//
//go:noinline
func clearGranule(mem []byte) {
	if page := mem[:granule]; !isClear(page) {
		clear(page)
	}
}

//go:noinline
func isClear(page []byte) bool { return bytes.Equal(page, zeros[:]) }
