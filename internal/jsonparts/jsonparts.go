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

// Package jsonparts bounds the memory that JSON from others takes once it is decoded. The three
// bytes {}, in a list decode to a descriptor of several hundred bytes, so a manifest of 4 MiB takes
// 400 MiB. Decoders of such JSON therefore need a bound on its parts as well.
package jsonparts

import (
	"fmt"
	"io"
)

// MaxManifest bounds the parts of a manifest, an index, or a page of a referrer list. It allows
// several thousand typical entries, which take some tens of megabytes.
const MaxManifest = 50_000

// Check refuses JSON with more than the given number of parts: commas and opening brackets outside
// of strings.
func Check(content []byte, most int) error {
	c := counter{most: most}
	return c.count(content)
}

// UpperBound returns a number that the values and names of a JSON text do not exceed. It is quicker
// than Check and counts what looks like a part in strings too.
func UpperBound(content []byte) int {
	parts := 1
	for _, b := range content {
		if b == ',' || b == ':' || b == '[' || b == '{' {
			parts++
		}
	}
	return parts
}

// NewReader returns a reader that fails once it has read more parts than most.
func NewReader(r io.Reader, most int) io.Reader { return &reader{r, counter{most: most}} }

type reader struct {
	io.Reader
	counter
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if tooMany := r.count(p[:n]); tooMany != nil {
		return 0, tooMany
	}
	return n, err
}

type counter struct {
	most, parts     int
	inside, escaped bool // of a string
}

func (c *counter) count(content []byte) error {
	for _, b := range content {
		switch {
		case c.escaped:
			c.escaped = false
		case c.inside:
			c.escaped, c.inside = b == '\\', b != '"'
		case b == '"':
			c.inside = true
		case b == ',' || b == '{' || b == '[':
			c.parts++
		}
	}
	if c.parts > c.most {
		return fmt.Errorf("it has more than %d parts, which is more JSON than is read", c.most)
	}
	return nil
}
