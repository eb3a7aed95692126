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

// Package strictyaml reads YAML like kubectl, but refuses duplicate keys. The strict functions of
// sigs.k8s.io/yaml also refuse a key that overrides one from a merge key ("<<"), which this package
// accepts. They ignore all documents after the first, and expand aliases to any size. This package
// refuses both.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// ToJSON converts a YAML document to JSON. A duplicate key in a mapping is an error, but a key that
// overrides a merged key is not. Further documents are an error unless they are empty. Aliases that
// [CheckExpansion] refuses are an error.
func ToJSON(document []byte) (object []byte, err error) {
	err = read(document,
		func() error { object, err = yaml.YAMLToJSONStrict(document); return err },
		func() error { object, err = yaml.YAMLToJSON(document); return err })
	if err != nil {
		return nil, err
	}
	return object, nil
}

// Unmarshal decodes a YAML document into an object with JSON tags. It refuses unknown fields, and
// everything that [ToJSON] refuses. After an error, the object may be partly set.
func Unmarshal(document []byte, object any) error {
	return read(document,
		func() error { return yaml.UnmarshalStrict(document, object) },
		func() error { return yaml.Unmarshal(document, object, yaml.DisallowUnknownFields) })
}

// read decodes a document with the strict function. If that fails, possibly because of merge keys,
// and there are no duplicate keys, it uses the lenient function. It also makes the checks that the
// library lacks.
func read(document []byte, strictly, leniently func() error) error {
	if err := CheckExpansion(document); err != nil {
		return err
	}
	err := strictly()
	if err != nil && hasMergeKeys(document) {
		if err := checkKeys(document); err != nil {
			return err
		}
		err = leniently()
	}
	if err != nil {
		return WithLine(err)
	}
	return checkEnd(document)
}

// syntax matches the beginning of the parser's errors about a single place in the text.
var syntax = regexp.MustCompile(
	`^(error converting YAML to JSON: )?yaml: (found |did not find |could not find |mapping values |block )`)

// WithLine adds the line number to an error of the parser that lacks it. The parser omits the
// number of the first line.
func WithLine(err error) error {
	if err == nil || !syntax.MatchString(err.Error()) {
		return err
	}
	return errors.New(syntax.ReplaceAllString(err.Error(), "${1}yaml: line 1: ${2}"))
}

// checkEnd refuses text with content after its first document.
func checkEnd(text []byte) error {
	if !bytes.Contains(text, []byte("---")) && !bytes.Contains(text, []byte("...")) {
		return nil // most texts have one, and skip the second parser
	}
	decoder := yamlv3.NewDecoder(bytes.NewReader(text))
	for first := true; ; first = false {
		var document yamlv3.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !first && !isEmpty(&document):
			return fmt.Errorf(
				"yaml: line %d: a second document begins: write one, without \"---\" between its lines",
				document.Line)
		}
	}
}

// isEmpty reports whether a document is empty, which decodes to null. A document that contains null
// is not empty.
func isEmpty(document *yamlv3.Node) bool {
	return len(document.Content) == 1 && document.Content[0].ShortTag() == "!!null" &&
		document.Content[0].Value == ""
}

// hasMergeKeys reports whether a document may have merge keys. Most have none, and skip the second
// parser.
func hasMergeKeys(document []byte) bool { return bytes.Contains(document, []byte("<<")) }

// checkKeys refuses a document with a duplicate key in a mapping.
func checkKeys(document []byte) error {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(document, &root); err != nil {
		return err
	}
	return checkNode(&root)
}

// checkNode does not follow aliases. It checks the node of an anchor where the anchor is.
func checkNode(node *yamlv3.Node) error {
	if node.Kind == yamlv3.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != yamlv3.ScalarNode || key.ShortTag() == "!!merge" {
				continue
			}
			// In JSON, a number and its text are the same key.
			var value any
			if err := key.Decode(&value); err != nil {
				return err
			}
			text := fmt.Sprint(value)
			if seen[text] {
				return fmt.Errorf("yaml: line %d: key %q already set in map", key.Line, text)
			}
			seen[text] = true
		}
	}
	for _, child := range node.Content {
		if err := checkNode(child); err != nil {
			return err
		}
	}
	return nil
}
