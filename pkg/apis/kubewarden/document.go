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

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// maxDocuments bounds the documents in one file.
const maxDocuments = 1000

// document is one document of a file, before it is parsed.
type document struct {
	content []byte
	// line is the number of lines above the document in its file.
	line int
}

// split returns the documents of a file, without those that contain only comments.
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

func splitYAML(content []byte) ([]document, error) {
	var documents []document
	for d := range strictyaml.Documents(content) {
		if len(documents) == maxDocuments {
			return nil, tooManyDocuments()
		}
		documents = append(documents, document{content: d.Content, line: d.Line})
	}
	return documents, nil
}

func tooManyDocuments() error {
	return fmt.Errorf("the file contains more than %d documents: split it", maxDocuments)
}

// toJSON returns the document as JSON. It leaves valid JSON unchanged, because YAML does not know
// all of JSON's escapes.
func (d *document) toJSON() ([]byte, error) {
	if json.Valid(d.content) {
		return d.content, nil
	}
	object, err := strictyaml.ToJSON(d.content)
	if err != nil {
		return nil, d.explain(err)
	}
	return object, nil
}

var lineNumber = regexp.MustCompile(`\bline \d+`)

// explain turns an error of the YAML parser into one line, with line numbers that count from the
// start of the file.
func (d *document) explain(err error) error {
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	problem = strings.TrimPrefix(problem, "unmarshal errors:")
	problem = lineNumber.ReplaceAllStringFunc(problem, func(text string) string {
		number, _ := strconv.Atoi(strings.TrimPrefix(text, "line "))
		return "line " + strconv.Itoa(d.line+number)
	})
	return fmt.Errorf("is not valid YAML: %s", strings.Join(strings.Fields(problem), " "))
}
