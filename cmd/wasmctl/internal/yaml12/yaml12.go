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

// Package yaml12 reads YAML 1.2, as Kubewarden's kwctl reads settings.
package yaml12

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

const (
	// maxDepth is the maximum nesting of a document, as in kwctl.
	maxDepth = 128
	// maxValues is the maximum number of values in a document, including those that aliases repeat.
	maxValues = 1 << 20
)

// ToJSON converts a document to JSON. Texts such as no, on, 0777 and 1_000 are strings, and << is
// an ordinary key. The following are errors: a second document, a tag outside the YAML standard, a
// duplicate key, more than 128 levels of nesting, more than 1,048,576 values, and aliases that
// expand to too much.
func ToJSON(document []byte) ([]byte, error) {
	decoder := yamlv3.NewDecoder(bytes.NewReader(document))
	var root, second yamlv3.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the document is empty")
	case err != nil:
		return nil, err
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document: write one")
	}
	value, err := (&reader{}).read(root.Content[0], 0)
	if err != nil {
		return nil, err
	}
	// Values repeated by aliases exist once in memory, but multiple times in JSON.
	if err := strictyaml.CheckExpansion(document); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

type reader struct{ values int }

func (r *reader) read(node *yamlv3.Node, depth int) (any, error) {
	if r.values++; r.values > maxValues || depth > maxDepth {
		return nil, fmt.Errorf(
			"line %d: the document has more than %d values, or is nested deeper than %d levels",
			node.Line, maxValues, maxDepth)
	}
	if node.Kind == yamlv3.AliasNode {
		return r.read(node.Alias, depth+1)
	}
	if tagged := node.Style&yamlv3.TaggedStyle != 0; tagged &&
		!strings.HasPrefix(node.LongTag(), "tag:yaml.org,2002:") {
		return nil, fmt.Errorf("line %d: unknown tag %s: remove it", node.Line, node.Tag)
	}
	switch node.Kind {
	case yamlv3.SequenceNode:
		list := make([]any, len(node.Content))
		for n, child := range node.Content {
			var err error
			if list[n], err = r.read(child, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yamlv3.MappingNode:
		return r.readMapping(node, depth)
	}
	return scalar(node)
}

func (r *reader) readMapping(node *yamlv3.Node, depth int) (any, error) {
	fields := make(map[string]any, len(node.Content)/2)
	for n := 0; n+1 < len(node.Content); n += 2 {
		key := node.Content[n]
		if key.Kind == yamlv3.AliasNode {
			key = key.Alias
		}
		if key.Kind != yamlv3.ScalarNode {
			return nil, fmt.Errorf("line %d: a key is not a scalar", key.Line)
		}
		if _, twice := fields[key.Value]; twice {
			return nil, fmt.Errorf("line %d: duplicate key %q", key.Line, key.Value)
		}
		value, err := r.read(node.Content[n+1], depth+1)
		if err != nil {
			return nil, err
		}
		fields[key.Value] = value
	}
	return fields, nil
}

// scalar parses a scalar. A quoted scalar, or one with the string tag, is a string.
func scalar(node *yamlv3.Node) (any, error) {
	const plain = yamlv3.DoubleQuotedStyle | yamlv3.SingleQuotedStyle | yamlv3.LiteralStyle |
		yamlv3.FoldedStyle
	text := node.Value
	if node.Style&yamlv3.TaggedStyle != 0 {
		if tag := node.ShortTag(); tag != "!!str" {
			return nil, fmt.Errorf(
				"line %d: a value with the tag %s: write it without", node.Line, tag)
		}
		return text, nil
	}
	if node.Style&plain != 0 {
		return text, nil
	}
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil, nil
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	if number, ok := integer(text); ok {
		return number, nil
	}
	return float(text), nil
}

// integer parses a decimal number, or one with the prefix 0x, 0o or 0b.
func integer(text string) (json.Number, bool) {
	digits := strings.TrimPrefix(text, "+")
	negative := strings.HasPrefix(text, "-")
	if negative {
		digits = text[1:]
	}
	base := 10
	if len(digits) > 2 && digits[0] == '0' {
		base = map[byte]int{'x': 16, 'o': 8, 'b': 2}[digits[1]]
		if base == 0 {
			return "", false
		}
		digits = digits[2:]
	} else if len(digits) == 2 && digits[0] == '0' {
		return "", false
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return "", false
	}
	value, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil, negative && value > 1<<63:
		return "", false
	case negative && value > 0:
		return json.Number("-" + strconv.FormatUint(value, 10)), true
	}
	return json.Number(strconv.FormatUint(value, 10)), true
}

// float parses a floating-point number, and returns other texts unchanged. Infinity and NaN become
// null, because JSON lacks them.
func float(text string) any {
	switch strings.TrimLeft(text, "+-") {
	case ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN":
		return nil
	}
	digits := strings.TrimLeft(text, "+-")
	if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789") == "" {
		return text // such as 0777
	}
	if strings.ContainsAny(text, "_xXpP") {
		return text // Go accepts it, but YAML does not
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return text
	}
	number := strconv.FormatFloat(value, 'g', -1, 64)
	if !strings.ContainsAny(number, ".e") {
		number += ".0"
	}
	return json.Number(number)
}
