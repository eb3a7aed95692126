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

package apijson

// compact writes JSON that a value made of itself, without the space between its parts and
// with what HTML takes for its own escaped. It reports whether it is JSON.
func (e *encoder) compact(source []byte) bool {
	c := compactor{source: source, out: e.out}
	c.space()
	ok := c.value(0)
	c.space()
	if !ok || c.at != len(source) {
		return false
	}
	c.flush(c.at)
	e.out = c.out
	return true
}

// compactor goes through JSON. What is between start and at is to be written as it stands.
type compactor struct {
	source, out []byte
	start, at   int
}

// flush writes what is to be written before an index.
func (c *compactor) flush(before int) {
	c.out = append(c.out, c.source[c.start:before]...)
}

// peek returns the next byte, which is zero at the end: no JSON has that one.
func (c *compactor) peek() byte {
	if c.at == len(c.source) {
		return 0
	}
	return c.source[c.at]
}

// is takes the next byte if it is that one.
func (c *compactor) is(b byte) bool {
	if c.peek() != b || c.at == len(c.source) {
		return false
	}
	c.at++
	return true
}

// space takes space and does not write it.
func (c *compactor) space() {
	begin := c.at
	for b := c.peek(); b == ' ' || b == '\t' || b == '\n' || b == '\r'; b = c.peek() {
		c.at++
	}
	if c.at != begin {
		c.flush(begin)
		c.start = c.at
	}
}

func (c *compactor) value(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch c.peek() {
	case '{':
		return c.elements('}', depth, true)
	case '[':
		return c.elements(']', depth, false)
	case '"':
		return c.text()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	}
	return c.number()
}

// elements takes an object or an array.
func (c *compactor) elements(end byte, depth int, named bool) bool {
	c.at++
	if c.space(); c.is(end) {
		return true
	}
	for {
		if named {
			if c.space(); !c.text() {
				return false
			}
			if c.space(); !c.is(':') {
				return false
			}
		}
		if c.space(); !c.value(depth + 1) {
			return false
		}
		if c.space(); c.is(end) {
			return true
		}
		if !c.is(',') {
			return false
		}
	}
}

func (c *compactor) literal(word string) bool {
	if len(c.source)-c.at < len(word) || string(c.source[c.at:c.at+len(word)]) != word {
		return false
	}
	c.at += len(word)
	return true
}

func (c *compactor) number() bool {
	c.is('-')
	if !c.is('0') && !c.digits() {
		return false
	}
	if c.is('.') && !c.digits() {
		return false
	}
	if c.is('e') || c.is('E') {
		if !c.is('+') {
			c.is('-')
		}
		return c.digits()
	}
	return true
}

// digits takes at least one digit.
func (c *compactor) digits() bool {
	begin := c.at
	for b := c.peek(); b >= '0' && b <= '9'; b = c.peek() {
		c.at++
	}
	return c.at > begin
}

// text takes a string. Whether it is UTF-8 is not looked at: encoding/json does not either.
func (c *compactor) text() bool {
	if !c.is('"') {
		return false
	}
	for c.at < len(c.source) {
		b := c.source[c.at]
		if plain[b] {
			c.at++
			continue
		}
		switch {
		case b == '"':
			c.at++
			return true
		case b == '\\':
			if !c.escape() {
				return false
			}
		case b < ' ':
			return false
		case b == '<' || b == '>' || b == '&':
			c.flush(c.at)
			c.out = append(c.out, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
			c.at++
			c.start = c.at
		case b == 0xe2 && c.separator():
			c.flush(c.at)
			c.out = append(c.out, '\\', 'u', '2', '0', '2', hexDigits[c.source[c.at+2]&0xf])
			c.at += 3
			c.start = c.at
		default:
			c.at++
		}
	}
	return false
}

// separator is whether U+2028 or U+2029 is next, which JavaScript takes for ends of lines.
func (c *compactor) separator() bool {
	return c.at+2 < len(c.source) && c.source[c.at+1] == 0x80 && c.source[c.at+2]&^1 == 0xa8
}

// escape takes an escape sequence.
func (c *compactor) escape() bool {
	c.at++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at++
		return true
	case 'u':
		c.at++
		for range 4 {
			if b := c.peek(); (b < '0' || b > '9') && (b < 'a' || b > 'f') && (b < 'A' || b > 'F') {
				return false
			}
			c.at++
		}
		return true
	}
	return false
}
