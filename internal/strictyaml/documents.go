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

package strictyaml

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf8"
)

// Document is a document of a stream before it is parsed.
type Document struct {
	// Content is its text.
	Content []byte
	// Line is the number of lines in the stream before it.
	Line int
}

// Documents splits a stream at lines of "---" and "...", wherever they are (YAML 1.2, section 9.1).
// It skips documents that contain only comments and directives. Parsers that read only the first
// document ignore the others silently.
func Documents(stream []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		current, empty, line := Document{}, true, 0
		for text := range bytes.Lines(stream) {
			rest, isStart := marker(text, "---")
			tail, isEnd := marker(text, "...")
			if isStart || isEnd {
				if !empty && !yield(current) {
					return
				}
				current, empty = Document{Line: line}, true
			}
			switch {
			case isEnd:
				text = tail // may hold a comment
			case isStart:
				text = rest // the document may begin in it
			}
			trimmed := bytes.TrimSpace(text)
			if (isStart || isEnd) && len(trimmed) == 0 {
				// The parser would take a tab beside a marker for part of the document.
				text = []byte("\n")
			}
			current.Content = append(current.Content, text...)
			if len(trimmed) > 0 && trimmed[0] != '#' && trimmed[0] != '%' {
				empty = false
			}
			line++
		}
		if !empty {
			yield(current)
		}
	}
}

// blanks are the characters that end a marker for the parser: blanks and all kinds of line breaks.
const blanks = " \t\r\n\u0085\u2028\u2029"

// marker reports whether a line begins with a document marker, and returns the text after it.
func marker(line []byte, text string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(text))
	next, _ := utf8.DecodeRune(rest)
	return rest, ok && (len(rest) == 0 || strings.ContainsRune(blanks, next))
}

// Count returns the number of documents in a stream, up to most.
func Count(stream []byte, most int) (count int) {
	for range Documents(stream) {
		if count++; count == most {
			break
		}
	}
	return count
}
