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

// copyFuel is what a guest pays for a byte that is copied from or to its memory, and textFuel
// for one that the host also takes apart, or prints: see [engine.Instance.Burn].
const (
	copyFuel = 1
	textFuel = 10
)

// TooLong says that what a guest handed over has size bytes, and may have limit.
func TooLong(what string, size, limit int64) *engine.LimitError {
	settings := map[string]string{"response": "limits.responseSize", "host call payload": "limits.hostCallPayloadSize"}
	return &engine.LimitError{Limit: "bytes of " + what, Value: size, Max: limit, Setting: settings[what]}
}

// Read copies a part of the guest's memory that is at most limit bytes long. It
// ends the evaluation if the part is longer or not within memory; what names it in
// the error.
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

// portion is how much is copied at a time. Go's garbage collector cannot stop a copy in its
// midst, and all of the process would wait for one of tens of megabytes, into memory that
// nobody has touched yet.
const portion = 256 << 10

// Clone copies what was read from a guest's memory.
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

// copyPortion is not inlined, so that a goroutine can be stopped before it.
//
//go:noinline
func copyPortion(to, from []byte) { copy(to, from) }

// Fill copies a document in parts into the guest's memory, one behind the other, for which
// the evaluation pays. If there is no room for all of it, or no fuel, nothing is written and
// the error says so; what names the document there.
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

// Write is [Fill], and ends the evaluation instead of returning an error.
func Write(i *engine.Instance, what string, offset uint32, parts ...[]byte) {
	if err := Fill(i, what, offset, parts...); err != nil {
		i.Abort(err)
	}
}

// Text copies a text out of the guest's memory that ends before a byte of zero and is at most
// limit bytes long, for which the evaluation pays. It returns an error if there is none; what
// names it there.
func Text(i *engine.Instance, what string, offset uint32, limit int64) ([]byte, error) {
	room := i.Usage().MemoryBytes - int64(offset)
	p, ok := i.Read(offset, uint32(max(0, min(room, limit+1))))
	if !ok || len(p) == 0 {
		return nil, fmt.Errorf("%s: a text at address %d is outside the guest's memory", what, offset)
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

// OutOfBounds is the error with which an evaluation ends whose guest gave an address
// outside its memory.
func OutOfBounds(what string, offset uint32, length uint64) error {
	return fmt.Errorf("%s: %d bytes at address %d are outside the guest's memory", what, length, offset)
}
