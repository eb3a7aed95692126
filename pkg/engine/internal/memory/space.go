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

// space is the memory behind a range. Its owner uses it from one goroutine at a time.
type space interface {
	// bytes returns the first n bytes, which must have been committed. It is never nil.
	bytes(n uint64) []byte
	// commit makes the first n bytes usable. Those that were not so before are zero.
	commit(n uint64) error
	// populate backs the committed bytes [lo, hi) with memory where the system can. Their content stays what it is.
	populate(lo, hi uint64)
	// drop makes the committed bytes [lo, hi) what a mapped image holds there and zero elsewhere, and gives back the
	// memory that they take where the system can.
	drop(lo, hi uint64) error
	// overlay makes the space begin with img, zeros following, and commits as much as the image is long. Nothing of
	// what was there before remains.
	overlay(img *Image) error
	// uncommit makes what lies beyond the first n bytes unusable. It has been dropped before.
	uncommit(n uint64) error
	// close frees the space.
	close() error
}

// heapSpace is a space in the Go heap, for systems without mappings. Growth can move it.
type heapSpace struct {
	buf []byte
}

func newHeapSpace() *heapSpace { return &heapSpace{buf: []byte{}} }

func (s *heapSpace) bytes(n uint64) []byte { return s.buf[:n:n] }

// populate has nothing to do: what is on the heap was allocated by Go code.
func (s *heapSpace) populate(_, _ uint64) {}

func (s *heapSpace) commit(n uint64) error {
	if have := uint64(len(s.buf)); n > have {
		s.buf = append(s.buf, make([]byte, n-have)...)
	}
	return nil
}

func (s *heapSpace) drop(lo, hi uint64) error {
	clearPages(s.buf[lo:hi])
	return nil
}

func (s *heapSpace) overlay(img *Image) error {
	s.buf = make([]byte, img.size)
	img.refill(s.buf, 0, img.Stored())
	return nil
}

func (s *heapSpace) uncommit(uint64) error { return nil }

func (s *heapSpace) close() error {
	s.buf = nil
	return nil
}

// storeSlice builds the content of an image as a Go slice.
func storeSlice(size uint64, segments []Segment) []byte {
	data := make([]byte, size)
	for _, s := range segments {
		copy(data[s.Offset:], s.Data)
	}
	return data
}
