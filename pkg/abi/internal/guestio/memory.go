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

package guestio

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// copyFuel is the fuel for each byte copied from or to guest memory. textFuel is the fuel for each
// byte that the host also parses or prints. See [engine.Instance.Burn].
const (
	copyFuel = 1
	textFuel = 10
)

// TooLong returns the error for data of size bytes where limit bytes are allowed.
func TooLong(what string, size, limit int64) *engine.LimitError {
	settings := map[string]string{
		"response":          "limits.responseSize",
		"host call payload": "limits.hostCallPayloadSize",
	}
	return &engine.LimitError{
		Limit:   "bytes of " + what,
		Value:   size,
		Max:     limit,
		Setting: settings[what],
	}
}

// Read copies up to limit bytes of guest memory. It ends the evaluation if the part is longer than
// that or outside memory. The error names the part as what.
func Read(i *engine.Instance, what string, offset, length uint32, limit int64) []byte {
	if int64(length) > limit {
		i.Abort(TooLong(what, int64(length), limit))
	}
	p, ok := i.Read(offset, length)
	if !ok {
		i.Abort(OutOfBounds(what, offset, uint64(length)))
	}
	i.Pay(copyFuel * int64(length))
	return Clone(p)
}

// portion is the number of bytes copied at a time. Go's garbage collector cannot stop a goroutine
// in the middle of a copy. The whole process would wait for a copy of tens of megabytes into
// untouched memory.
const portion = 256 << 10

// Clone copies data that was read from a guest's memory.
func Clone(p []byte) []byte {
	if len(p) <= portion {
		return bytes.Clone(p)
	}
	c := make([]byte, len(p))
	for at := 0; at < len(p); at += portion {
		copyPortion(c[at:], p[at:min(at+portion, len(p))])
	}
	return c
}

// copyPortion is not inlined, so that the runtime can stop the goroutine before each call.
//
//go:noinline
func copyPortion(to, from []byte) { copy(to, from) }

// Fill copies the parts of a document into guest memory, one after another. The evaluation pays for
// the copy. If memory or fuel does not suffice, Fill writes nothing and returns an error that names
// the document as what.
func Fill(i *engine.Instance, what string, offset uint32, parts ...[]byte) error {
	var size uint64
	for _, part := range parts {
		size += uint64(len(part))
	}
	if size == 0 {
		return nil
	}
	if size > math.MaxUint32 {
		return OutOfBounds(what, offset, size)
	}
	if _, ok := i.Read(offset, uint32(size)); !ok {
		return OutOfBounds(what, offset, size)
	}
	if err := i.Burn(copyFuel * int64(size)); err != nil {
		return err
	}
	for _, part := range parts {
		for piece := range slices.Chunk(part, portion) {
			if !i.Write(offset, piece) {
				return OutOfBounds(what, offset, size)
			}
			offset += uint32(len(piece))
		}
	}
	return nil
}

// Write is like [Fill], but ends the evaluation instead of returning an error.
func Write(i *engine.Instance, what string, offset uint32, parts ...[]byte) {
	if err := Fill(i, what, offset, parts...); err != nil {
		i.Abort(err)
	}
}

// Text copies a zero-terminated text of at most limit bytes out of guest memory. The evaluation
// pays for the copy. If there is no such text, the error names it as what.
func Text(i *engine.Instance, what string, offset uint32, limit int64) ([]byte, error) {
	room := i.Usage().MemoryBytes - int64(offset)
	p, ok := i.Read(offset, uint32(max(0, min(room, limit+1))))
	if !ok || len(p) == 0 {
		return nil, fmt.Errorf(
			"%s: a text at address %d is outside the guest's memory", what, offset)
	}
	end := bytes.IndexByte(p, 0)
	switch {
	case end >= 0:
		if err := i.Burn(copyFuel * int64(end)); err != nil {
			return nil, err
		}
		return Clone(p[:end]), nil
	case int64(len(p)) > limit:
		return nil, TooLong(what, int64(len(p)), limit)
	}
	return nil, fmt.Errorf("%s: a text at address %d has no end", what, offset)
}

// OutOfBounds returns the error that ends the evaluation of a guest that gave an address outside
// its memory.
func OutOfBounds(what string, offset uint32, length uint64) error {
	return fmt.Errorf("%s: %d bytes at address %d are outside the guest's memory", what, length,
		offset)
}
