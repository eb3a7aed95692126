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
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
)

// checkExpansion refuses a document that would grow beyond the size of a file when its
// aliases are written out. The parser bounds how many nodes there are then, but not how
// large: a text of a megabyte may be named a thousand times.
func checkExpansion(content []byte) error {
	if !bytes.ContainsRune(content, '&') || !bytes.ContainsRune(content, '*') {
		return nil
	}
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(content, &root); err != nil {
		return err
	}
	sizes := expansion{}
	if sizes.of(&root) > maxFileSize {
		return fmt.Errorf("aliases make it larger than %d bytes: write less of them", maxFileSize)
	}
	return nil
}

// expansion holds the size of each anchor's node with aliases written out, 0 while it is
// being measured.
type expansion map[*yamlv3.Node]int

// of returns the size of a node, at most a little more than the largest allowed.
func (e expansion) of(node *yamlv3.Node) int {
	if node.Alias != nil {
		size, known := e[node.Alias]
		switch {
		case known && size == 0:
			// It contains itself, and has no size.
			return maxFileSize + 1
		case known:
			return size
		}
		return e.of(node.Alias)
	}
	if node.Anchor != "" {
		e[node] = 0
	}
	size := len(node.Value) + 1
	for _, child := range node.Content {
		size = min(size+e.of(child), maxFileSize+1)
	}
	if node.Anchor != "" {
		e[node] = size
	}
	return size
}
