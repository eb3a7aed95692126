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

// The immediates of instructions, read directly from the code, because a cursor spends most of its
// time here.

func (c *Cursor) u32() uint32 {
	if c.pos < len(c.code) && c.code[c.pos] < 0x80 {
		v := uint32(c.code[c.pos])
		c.pos++
		return v
	}
	v, pos, status := uleb32(c.code, c.pos)
	if status != lebOK {
		c.fail("%s", status)
		return 0
	}
	c.pos = pos
	return v
}

func (c *Cursor) index(what string, n uint32) uint32 {
	at := c.pos
	v := c.u32()
	if v >= n && c.err == nil {
		c.failAt(at, "unknown %s %d, expected an index below %d", what, v, n)
		return 0
	}
	return v
}

// local is index for locals, the most frequent immediate.
func (c *Cursor) local() uint32 {
	if next := skipIndex(c.code, c.pos, c.locals); next > 0 {
		c.pos = next
		return uint32(c.code[next-1])
	}
	return c.index("local", c.locals)
}

func (c *Cursor) signed(bits uint) int64 {
	v, pos, status := sleb(c.code, c.pos, bits)
	if status != lebOK {
		c.fail("%s", status)
		return 0
	}
	c.pos = pos
	return v
}

// constant skips a signed integer.
func (c *Cursor) constant(short int, bits uint) {
	if next := skipShort(c.code, c.pos, short); next > 0 {
		c.pos = next
		return
	}
	c.signed(bits)
}

// skipShort returns the position after an integer of at most short bytes. All bits of such an
// integer count, so no encoding of it is invalid. It returns zero if the integer is longer or cut
// off.
func skipShort(code []byte, pos, short int) int {
	for end := min(pos+short, len(code)); pos < end; pos++ {
		if code[pos] < 0x80 {
			return pos + 1
		}
	}
	return 0
}

// skipIndex returns the position after a one-byte index below n, or zero for anything else.
func skipIndex(code []byte, pos int, n uint32) int {
	if pos < len(code) && code[pos] < 0x80 && uint32(code[pos]) < n {
		return pos + 1
	}
	return 0
}

func (c *Cursor) skip(n int) {
	if n > len(c.code)-c.pos {
		c.fail("unexpected end of the code, expected %d more bytes", n)
		return
	}
	c.pos += n
}

// memArg reads alignment and offset of a memory access. Bit 6 of the alignment announces a memory
// index.
func (c *Cursor) memArg() {
	at := c.pos
	if code := c.code[at:]; len(code) > 1 && code[0] < 0x20 && code[1] < 0x80 {
		c.pos += 2
		return
	}
	align := c.u32()
	if align >= 0x20 {
		if align&^0x1f == 0x40 {
			c.unsupported(at, proposalMultiMemory, "memory index")
		} else {
			c.failAt(at, "alignment 2^%d of a memory access", align)
		}
		return
	}
	c.u32()
}

// memory reads the index of a memory, which must be zero.
func (c *Cursor) memory() {
	at := c.pos
	if index := c.u32(); index != 0 {
		c.unsupported(at, proposalMultiMemory, "memory index %d", index)
	}
}

func (c *Cursor) readValueType() {
	r := reader{buf: c.code, pos: c.pos, end: len(c.code), err: c.err}
	at := r.pos
	c.valueType = r.valueType("value type")
	r.checkHeap(at, c.valueType, int(c.types))
	c.adopt(&r)
}

// adopt takes over the position and error of a reader that read from the code alone.
func (c *Cursor) adopt(r *reader) {
	c.pos = r.pos
	if c.err != nil || r.err == nil {
		return
	}
	switch e := r.err.(type) { //nolint:errorlint // a reader returns its errors as they are
	case *Error:
		e.Offset += c.base
	case *UnsupportedError:
		e.Offset += c.base
	}
	c.err = r.err
}
