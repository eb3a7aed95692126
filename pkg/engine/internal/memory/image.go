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
	"errors"
	"fmt"
	"sync/atomic"
)

const (
	// PageSize is the unit of length of a linear memory, 64 KiB (WebAssembly core specification,
	// "page size"). It is a multiple of the page size of every system that Go runs on.
	PageSize = 64 << 10

	// MaxLimit is the largest limit of a range: the 4 GiB that 32-bit addresses reach, minus the
	// page of declared maximum that [Range.Bind] requires.
	MaxLimit = 1<<32 - PageSize

	// chunk is the granularity at which an image omits zeros at its end.
	chunk = PageSize
)

// ErrClosed is returned for operations on an image or a range that was closed.
var ErrClosed = errors.New("memory: closed")

// Segment is content at an offset in a linear memory.
type Segment struct {
	Offset uint64
	Data   []byte
}

// Image is the immutable content of a linear memory. Its methods are safe for concurrent use.
type Image struct {
	size uint64 // of the linear memory, in bytes
	// data is the beginning of the memory; the rest up to size is zero. It is read-only, and on
	// Linux a mapping of the memfd.
	data []byte
	// parts are the spans of data that may hold anything but zeros. Reading the rest would make the
	// kernel allocate pages for it.
	parts  []span
	file   imageFile
	budget *Budget
	refs   atomic.Int64 // one for the creator, and one for each attached range
	closed atomic.Bool  // the creator's reference is gone
}

// NewImage makes an image of size bytes that contains the segments and is zero elsewhere. size must
// be a multiple of [PageSize] up to [MaxLimit]. Where segments overlap, the later one wins, as with
// a module's data segments. Zeros at the end take no memory. NewImage reserves the rest from
// budget, which may be nil, until the image is released. If the budget has no room, it returns a
// [*BudgetError].
func NewImage(size uint64, budget *Budget, segments ...Segment) (*Image, error) {
	if err := checkSize("image", size); err != nil {
		return nil, err
	}
	stored := uint64(0)
	for i, s := range segments {
		if s.Offset > size || uint64(len(s.Data)) > size-s.Offset {
			return nil, fmt.Errorf(
				"image: segment %d (offset %d, length %d) ends beyond the size of %d bytes",
				i, s.Offset, len(s.Data), size)
		}
		if n := trimZeros(s.Data); n > 0 {
			stored = max(stored, roundUp(s.Offset+n, chunk))
		}
	}
	if err := budget.Reserve(stored); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	img := &Image{size: size, budget: budget}
	img.refs.Store(1)
	var err error
	kept := clip(segments, stored)
	img.parts = spansOf(kept)
	if img.data, img.file, err = storeImage(stored, kept); err != nil {
		budget.Release(stored)
		return nil, fmt.Errorf("image: %w", err)
	}
	return img, nil
}

// Size returns the length of the linear memory in bytes.
func (i *Image) Size() uint64 { return i.size }

// Stored returns the number of bytes that the image takes: its size without zeros at the end.
func (i *Image) Stored() uint64 { return uint64(len(i.data)) }

// Close drops the creator's reference to the image. The image is released when no range is attached
// to it anymore; attached ranges continue to work. Closing it again does nothing.
func (i *Image) Close() error {
	if i.closed.Swap(true) {
		return nil
	}
	return i.release()
}

// acquire takes a reference. It fails if the last one is gone or the creator has closed the image.
func (i *Image) acquire() error {
	for {
		n := i.refs.Load()
		if n == 0 || i.closed.Load() {
			return fmt.Errorf("image: %w", ErrClosed)
		}
		if i.refs.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// release drops a reference. The last one frees the content.
func (i *Image) release() error {
	if i.refs.Add(-1) > 0 {
		return nil
	}
	i.budget.Release(uint64(len(i.data)))
	if err := i.file.release(i.data); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	return nil
}

// clip cuts off the part of the segments beyond stored, which holds only zeros.
func clip(segments []Segment, stored uint64) []Segment {
	var kept []Segment
	for _, s := range segments {
		if s.Offset < stored {
			n := min(uint64(len(s.Data)), stored-s.Offset)
			kept = append(kept, Segment{Offset: s.Offset, Data: s.Data[:n]})
		}
	}
	return kept
}

// trimZeros returns the length of b without the zeros at its end.
func trimZeros(b []byte) uint64 {
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros[:]) {
		b = b[:len(b)-len(zeros)]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return uint64(len(b))
}

// zeros is the content of a page that was never written.
var zeros [4096]byte

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

func checkSize(what string, n uint64) error {
	if n%PageSize != 0 || n > MaxLimit {
		return fmt.Errorf("%s: %d bytes is not a multiple of %d up to %d", what, n, PageSize,
			uint64(MaxLimit))
	}
	return nil
}
