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

// Package strictyaml reads YAML as kubectl does, and refuses a key that is written twice.
// The strict functions of sigs.k8s.io/yaml take a key that overrides one of a merge key
// ("<<") for such a key; these do not. They also read the first of several documents and
// say nothing of the others; these refuse them. And they write out aliases to any size;
// these do not.
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

// ToJSON returns a YAML document as JSON. A key that a mapping has twice is an error, one
// that overrides a merged key is not. What follows the document is an error too, unless it
// is empty. So are aliases that [CheckExpansion] refuses.
func ToJSON(document []byte) (object []byte, err error) {
	err = read(document,
		func() error { object, err = yaml.YAMLToJSONStrict(document); return err },
		func() error { object, err = yaml.YAMLToJSON(document); return err })
	if err != nil {
		return nil, err
	}
	return object, nil
}

// Unmarshal reads a YAML document into an object with JSON's tags. It refuses unknown
// fields, and what [ToJSON] refuses. After an error the object may be partly set.
func Unmarshal(document []byte, object any) error {
	return read(document,
		func() error { return yaml.UnmarshalStrict(document, object) },
		func() error { return yaml.Unmarshal(document, object, yaml.DisallowUnknownFields) })
}

// read has a document read strictly, or leniently if that may have failed of merge keys and it
// has no key twice, and makes the checks that the library does not.
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

// syntax is what the parser's errors begin with if they are about one place of the text.
var syntax = regexp.MustCompile(`^(error converting YAML to JSON: )?yaml: (found |did not find |could not find |mapping values |block )`)

// WithLine adds the line to an error of the parser that has none: of the first line it names
// everything but the number.
func WithLine(err error) error {
	if err == nil || !syntax.MatchString(err.Error()) {
		return err
	}
	return errors.New(syntax.ReplaceAllString(err.Error(), "${1}yaml: line 1: ${2}"))
}

// checkEnd refuses text that holds something behind its first document.
func checkEnd(text []byte) error {
	if !bytes.Contains(text, []byte("---")) && !bytes.Contains(text, []byte("...")) {
		return nil // most have one, and are spared the second parser
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
			return fmt.Errorf("yaml: line %d: a second document begins: write one, without \"---\" between its lines", document.Line)
		}
	}
}

// isEmpty is whether a document holds nothing, which reads as null, but not whether null is
// written in it.
func isEmpty(document *yamlv3.Node) bool {
	return len(document.Content) == 1 && document.Content[0].ShortTag() == "!!null" && document.Content[0].Value == ""
}

// hasMergeKeys is whether a document may have merge keys: most have none, and are spared
// the second parser.
func hasMergeKeys(document []byte) bool { return bytes.Contains(document, []byte("<<")) }

// checkKeys refuses a document in which a mapping has a key twice.
func checkKeys(document []byte) error {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(document, &root); err != nil {
		return err
	}
	return checkNode(&root)
}

// checkNode does not follow aliases: what they name is checked where it stands.
func checkNode(node *yamlv3.Node) error {
	if node.Kind == yamlv3.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != yamlv3.ScalarNode || key.ShortTag() == "!!merge" {
				continue
			}
			// In JSON a number is the same key as its text.
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
