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

package border

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

// Read copies a part of the guest's memory that is at most limit bytes long. It
// ends the evaluation if the part is longer or not within memory; what names it in
// the error.
func Read(i *engine.Instance, what string, offset, length uint32, limit int64) []byte {
	if int64(length) > limit {
		i.Abort(&engine.LimitError{Limit: "bytes of " + what, Value: int64(length), Max: limit})
	}
	p, ok := i.Read(offset, length)
	if !ok {
		i.Abort(OutOfBounds(what, offset, length))
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

// Fill copies p into the guest's memory, and reports whether there is room for all of it.
// If not, nothing is written.
func Fill(i *engine.Instance, offset uint32, p []byte) bool {
	if uint64(len(p)) > math.MaxUint32 {
		return false
	}
	if _, ok := i.Read(offset, uint32(len(p))); !ok {
		return false
	}
	for part := range slices.Chunk(p, portion) {
		if !i.Write(offset, part) {
			return false
		}
		offset += uint32(len(part))
	}
	return true
}

// Write copies p into the guest's memory. It ends the evaluation if there is no room.
func Write(i *engine.Instance, what string, offset uint32, p []byte) {
	i.Pay(copyFuel * int64(len(p)))
	if len(p) > 0 && !Fill(i, offset, p) {
		i.Abort(OutOfBounds(what, offset, uint32(len(p))))
	}
}

// OutOfBounds is the error with which an evaluation ends whose guest gave an address
// outside its memory.
func OutOfBounds(what string, offset, length uint32) error {
	return fmt.Errorf("%s: %d bytes at address %d are outside the guest's memory", what, length, offset)
}
