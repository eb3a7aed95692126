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
	// commit makes the first n bytes usable. Newly usable bytes are zero.
	commit(n uint64) error
	// populate backs the committed bytes [lo, hi) with memory where the system supports that. It
	// does not change their content.
	populate(lo, hi uint64)
	// drop resets the committed bytes [lo, hi) to the content of the mapped image, and to zero
	// where there is none. It gives back their memory where the system supports that.
	drop(lo, hi uint64) error
	// overlay replaces the space's content with img, followed by zeros, and commits as many bytes
	// as the image is long. Nothing of the previous content remains.
	overlay(img *Image) error
	// uncommit makes the bytes beyond the first n unusable. The caller must have dropped them.
	uncommit(n uint64) error
	// close frees the space.
	close() error
}

// heapSpace is a space on the Go heap, for systems without mappings. Growth can move it.
type heapSpace struct {
	buf []byte
}

func newHeapSpace() *heapSpace { return &heapSpace{buf: []byte{}} }

func (s *heapSpace) bytes(n uint64) []byte { return s.buf[:n:n] }

// populate does nothing: Go code allocated the heap memory.
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
