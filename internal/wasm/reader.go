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

import (
	"fmt"
	"unicode/utf8"
)

// reader reads one section. It keeps the first error and returns zero values from then on, so that
// callers check for errors once per entity instead of once per byte.
type reader struct {
	// buf is the whole module. pos and end are offsets in it, so that errors need no conversion.
	buf      []byte
	pos, end int
	err      error
}

func (r *reader) remaining() int { return r.end - r.pos }

func (r *reader) failAt(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: offset, Message: fmt.Sprintf(format, args...)}
	}
	r.pos = r.end
}

func (r *reader) fail(format string, args ...any) { r.failAt(r.pos, format, args...) }

func (r *reader) unsupported(offset int, proposal, format string, args ...any) {
	if r.err == nil {
		r.err = &UnsupportedError{
			Offset:   offset,
			Proposal: proposal,
			Feature:  fmt.Sprintf(format, args...),
		}
	}
	r.pos = r.end
}

func (r *reader) byte(what string) byte {
	if r.pos >= r.end {
		r.fail("unexpected end, expected %s", what)
		return 0
	}
	b := r.buf[r.pos]
	r.pos++
	return b
}

func (r *reader) u32(what string) uint32 {
	v, pos, status := uleb32(r.buf[:r.end], r.pos)
	if status != lebOK {
		r.fail("%s, expected %s", status, what)
		return 0
	}
	r.pos = pos
	return v
}

func (r *reader) s33(what string) int64 {
	v, pos, status := sleb(r.buf[:r.end], r.pos, 33)
	if status != lebOK {
		r.fail("%s, expected %s", status, what)
		return 0
	}
	r.pos = pos
	return v
}

// index reads an index and checks that it is below n.
func (r *reader) index(what string, n int) uint32 {
	at := r.pos
	v := r.u32(what + " index")
	if r.err == nil && uint64(v) >= uint64(n) {
		r.failAt(at, "unknown %s %d, expected an index below %d", what, v, n)
		return 0
	}
	return v
}

// count reads the length of a vector. It is safe to allocate by the result: it is at most limit,
// and the remaining bytes suffice for that many elements of at least minSize bytes.
func (r *reader) count(what string, minSize, limit int) int {
	at := r.pos
	n := int64(r.u32(what))
	switch {
	case r.err != nil:
		return 0
	case n > int64(limit):
		r.failAt(at, "%d %s, expected at most %d", n, what, limit)
		return 0
	case n > int64(r.remaining()/minSize):
		r.failAt(at, "%d %s do not fit in the %d bytes that are left", n, what, r.remaining())
		return 0
	}
	return int(n)
}

// bytes reads a vector of bytes. The result aliases the input.
func (r *reader) bytes(what string) []byte {
	at := r.pos
	n := int64(r.u32(what))
	if n > int64(r.remaining()) {
		r.failAt(at, "%d bytes of %s do not fit in the %d bytes that are left", n, what,
			r.remaining())
		return nil
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) name(what string) string {
	at := r.pos
	b := r.bytes(what)
	if r.err == nil && !utf8.Valid(b) {
		r.failAt(at, "%s is not valid UTF-8", what)
		return ""
	}
	return string(b)
}

// done checks that everything was read.
func (r *reader) done(what string) {
	if r.err == nil && r.pos != r.end {
		r.fail("%d trailing bytes, expected the end of the %s", r.remaining(), what)
	}
}
