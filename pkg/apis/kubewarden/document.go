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

package kubewarden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/strictyaml"
)

// maxDocuments bounds the documents in one file.
const maxDocuments = 1000

// document is one of those in a file, before it is parsed.
type document struct {
	content []byte
	// line is how many lines of the file are above it.
	line int
}

// split returns the documents of a file, without those that hold comments only.
func split(file File) ([]document, error) {
	if strings.HasSuffix(file.Path, ".json") {
		return splitJSON(file.Content)
	}
	return splitYAML(file.Content)
}

func splitJSON(content []byte) ([]document, error) {
	var documents []document
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		var object json.RawMessage
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return documents, nil
		} else if err != nil {
			return nil, fmt.Errorf("object %d is not valid JSON: %w", len(documents)+1, err)
		}
		if len(documents) == maxDocuments {
			return nil, tooManyDocuments()
		}
		documents = append(documents, document{content: object})
	}
}

// splitYAML parts documents at lines of "---" and "...", wherever they are (YAML 1.2,
// section 9.1).
func splitYAML(content []byte) ([]document, error) {
	var documents []document
	var current document
	// empty is set as long as the current document holds nothing.
	empty, line := true, 0
	end := func() {
		if !empty {
			documents = append(documents, current)
		}
		empty = true
	}
	for text := range bytes.Lines(content) {
		rest, isStart := marker(text, "---")
		tail, isEnd := marker(text, "...")
		if isStart || isEnd {
			end()
			if len(documents) > maxDocuments {
				return nil, tooManyDocuments()
			}
			current = document{line: line}
		}
		switch {
		case isEnd:
			text = tail // which may hold a comment
		case isStart:
			text = rest // in which the document may begin
		}
		trimmed := bytes.TrimSpace(text)
		if (isStart || isEnd) && len(trimmed) == 0 {
			// The parser takes a tab beside a marker for one in a document.
			text = []byte("\n")
		}
		current.content = append(current.content, text...)
		if len(trimmed) > 0 && trimmed[0] != '#' && trimmed[0] != '%' {
			empty = false
		}
		line++
	}
	end()
	if len(documents) > maxDocuments {
		return nil, tooManyDocuments()
	}
	return documents, nil
}

// marker says whether a line begins with a marker of documents, and what is beside it.
func marker(line []byte, text string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(text))
	return rest, ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

func tooManyDocuments() error {
	return fmt.Errorf("the file holds more than %d documents: split it", maxDocuments)
}

// toJSON returns the document as JSON. What is valid JSON stays as it is: YAML does not
// know all of JSON's escapes.
func (d *document) toJSON() ([]byte, error) {
	if json.Valid(d.content) {
		return d.content, nil
	}
	if err := checkExpansion(d.content); err != nil {
		return nil, d.explain(err)
	}
	object, err := strictyaml.ToJSON(d.content)
	if err != nil {
		return nil, d.explain(err)
	}
	return object, nil
}

var lineNumber = regexp.MustCompile(`\bline \d+`)

// explain makes one line of an error of the YAML parser, in which lines are counted from
// the start of the file.
func (d *document) explain(err error) error {
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	problem = strings.TrimPrefix(problem, "unmarshal errors:")
	problem = lineNumber.ReplaceAllStringFunc(problem, func(text string) string {
		number, _ := strconv.Atoi(strings.TrimPrefix(text, "line "))
		return "line " + strconv.Itoa(d.line+number)
	})
	return fmt.Errorf("is not valid YAML: %s", strings.Join(strings.Fields(problem), " "))
}
