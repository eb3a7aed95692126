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

// This file implements LEB128 as the binary format uses it. An integer of N bits takes at most
// ceil(N/7) bytes. Padding within that is legal, and linkers rely on it. The bits of the last byte
// beyond N must be zero or, for signed integers, copies of the sign
// (https://www.w3.org/TR/wasm-core-2/#integers).

type lebStatus uint8

const (
	lebOK lebStatus = iota
	lebTruncated
	lebTooLong
	lebTooLarge
)

// String describes the problem for error messages.
func (s lebStatus) String() string {
	switch s {
	case lebTruncated:
		return "unexpected end inside a LEB128 integer"
	case lebTooLong:
		return "integer representation too long"
	case lebTooLarge:
		return "integer too large"
	}
	return "ok"
}

// uleb32 reads an unsigned 32-bit integer from b at pos. It also returns the position after it.
func uleb32(b []byte, pos int) (uint32, int, lebStatus) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if pos >= len(b) {
			return 0, pos, lebTruncated
		}
		c := b[pos]
		pos++
		if shift == 28 && c < 0x80 && c > 0x0f {
			return 0, pos, lebTooLarge
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, pos, lebOK
		}
	}
	return 0, pos, lebTooLong
}

// sleb reads a signed integer of the given number of bits (32, 33 or 64) from b at pos.
func sleb(b []byte, pos int, bits uint) (int64, int, lebStatus) {
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		if pos >= len(b) {
			return 0, pos, lebTruncated
		}
		c := b[pos]
		pos++
		v |= int64(c&0x7f) << shift
		if c >= 0x80 {
			continue
		}
		if used := bits - shift; used < 7 {
			// Only the low bits of the last byte count. The others repeat the sign bit.
			rest := int8(c<<1) >> used
			if rest != 0 && rest != -1 {
				return 0, pos, lebTooLarge
			}
		}
		if c&0x40 != 0 && shift+7 < 64 {
			v |= -1 << (shift + 7)
		}
		return v, pos, lebOK
	}
	return 0, pos, lebTooLong
}

// AppendUint32 appends v to dst as unsigned LEB128, in the shortest form.
func AppendUint32(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// AppendInt64 appends v to dst as signed LEB128, in the shortest form. It serves integers of 32, 33
// and 64 bits.
func AppendInt64(dst []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(dst, c)
		}
		dst = append(dst, c|0x80)
	}
}

// sizeUint32 returns the number of bytes that AppendUint32 appends.
func sizeUint32(v uint32) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
