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

package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// maxDepth bounds the nesting of the values in a request.
const maxDepth = 100

// parseRequest parses a request: a YAML document whose tag is the variant.
func parseRequest(text string) (Request, error) {
	var document yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(text), &document); err != nil {
		return Request{}, fmt.Errorf("is not valid YAML: %w", err)
	}
	if document.Kind != yamlv3.DocumentNode || len(document.Content) != 1 {
		return Request{}, errors.New(
			"is empty: write a tag such as !KubernetesGetResource, and fields")
	}
	root := document.Content[0]
	variant, tagged := strings.CutPrefix(root.Tag, "!")
	if !tagged || strings.HasPrefix(variant, "!") || root.Kind != yamlv3.MappingNode {
		return Request{}, errors.New(
			"is not tagged: write a tag such as !KubernetesGetResource, and fields")
	}
	fields, err := mapping(root, 0)
	if err != nil {
		return Request{}, err
	}
	return newRequest(variant, fields)
}

// value converts a node to the form of decoded JSON. Values of YAML types that JSON lacks keep
// their text, for example times.
func value(node *yamlv3.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: values nest deeper than %d", node.Line, maxDepth)
	}
	switch node.Kind {
	case yamlv3.MappingNode:
		return mapping(node, depth)
	case yamlv3.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for _, entry := range node.Content {
			converted, err := value(entry, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, converted)
		}
		return list, nil
	case yamlv3.ScalarNode:
		return scalar(node)
	}
	return nil, fmt.Errorf("line %d: aliases are not read: write the value", node.Line)
}

func mapping(node *yamlv3.Node, depth int) (map[string]any, error) {
	fields := make(map[string]any, len(node.Content)/2)
	for n := 0; n+1 < len(node.Content); n += 2 {
		name := node.Content[n]
		if name.Kind != yamlv3.ScalarNode {
			return nil, fmt.Errorf("line %d: the name of a field is not a text", name.Line)
		}
		if _, twice := fields[name.Value]; twice {
			return nil, fmt.Errorf("line %d: duplicate field %q", name.Line, name.Value)
		}
		converted, err := value(node.Content[n+1], depth+1)
		if err != nil {
			return nil, err
		}
		fields[name.Value] = converted
	}
	return fields, nil
}

func scalar(node *yamlv3.Node) (any, error) {
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		return strconv.ParseBool(strings.ToLower(node.Value))
	case "!!int", "!!float":
		number := json.Number(node.Value)
		if json.Valid([]byte(number)) {
			return number, nil
		}
		var n int64
		if err := node.Decode(&n); err != nil {
			return nil, fmt.Errorf("line %d: %q is not a JSON number", node.Line, node.Value)
		}
		return json.Number(strconv.FormatInt(n, 10)), nil
	}
	return node.Value, nil
}

// encode writes the request as a YAML document. It omits fields whose absence means null, because
// readers treat both alike.
func (r Request) encode() (string, error) {
	root, err := nodeOf(r.Fields)
	if err != nil {
		return "", err
	}
	root.Tag = "!" + r.Variant
	root.Style = yamlv3.TaggedStyle
	text, err := yamlv3.Marshal(root)
	return string(text), err
}

// nodeOf converts a decoded JSON value to a node.
func nodeOf(value any) (*yamlv3.Node, error) {
	node := &yamlv3.Node{}
	switch value := value.(type) {
	case map[string]any:
		node.Kind, node.Tag = yamlv3.MappingNode, "!!map"
		for _, name := range slices.Sorted(maps.Keys(value)) {
			field, err := nodeOf(value[name])
			if err != nil {
				return nil, err
			}
			key := &yamlv3.Node{}
			key.SetString(name)
			node.Content = append(node.Content, key, field)
		}
	case []any:
		node.Kind, node.Tag = yamlv3.SequenceNode, "!!seq"
		for _, entry := range value {
			converted, err := nodeOf(entry)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, converted)
		}
	case json.Number:
		node.Kind, node.Value = yamlv3.ScalarNode, value.String()
	default:
		if err := node.Encode(value); err != nil {
			return nil, err
		}
	}
	return node, nil
}
