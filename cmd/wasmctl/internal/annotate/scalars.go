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

package annotate

import (
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
)

// readScalars corrects fields that were read as YAML 1.1. Kubewarden reads YAML 1.2 into typed
// fields, which differs in three cases: a bare "rules:" is an empty list, annotations keep the text
// as written, and yes and no are not booleans.
func readScalars(document []byte, fields map[string]any) error {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(document, &root); err != nil {
		return err
	}
	if root.Kind != yamlv3.DocumentNode || root.Content[0].Kind != yamlv3.MappingNode {
		return nil
	}
	pairs := root.Content[0].Content
	for n := 0; n+1 < len(pairs); n += 2 {
		value := pairs[n+1]
		switch name := pairs[n].Value; name {
		case "rules":
			if value.Kind == yamlv3.ScalarNode && value.Style == 0 && value.Value == "" {
				fields[name] = []any{}
			}
		case "annotations":
			if annotations, ok := fields[name].(map[string]any); ok &&
				value.Kind == yamlv3.MappingNode {
				readTexts(value.Content, annotations)
			}
		case "mutating", "backgroundAudit":
			if _, isBool := fields[name].(bool); isBool && !isBoolean(value.Value) &&
				value.Kind == yamlv3.ScalarNode {
				return fmt.Errorf("%s: %q is not a boolean: write true or false", name, value.Value)
			}
		}
	}
	return nil
}

// readTexts sets the values of scalars to the text as written.
func readTexts(pairs []*yamlv3.Node, texts map[string]any) {
	for n := 0; n+1 < len(pairs); n += 2 {
		if _, known := texts[pairs[n].Value]; known && pairs[n+1].Kind == yamlv3.ScalarNode {
			texts[pairs[n].Value] = pairs[n+1].Value
		}
	}
}

// isBoolean reports whether a text is a boolean in YAML 1.2.
func isBoolean(text string) bool {
	switch text {
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return true
	}
	return false
}
