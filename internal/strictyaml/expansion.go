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
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
)

// MaxExpanded limits the size in bytes of a document with its aliases expanded: 4 MiB, or twice the
// document's own size if that is more.
const MaxExpanded = 4 << 20

// CheckExpansion refuses a document that would exceed [MaxExpanded] with its aliases expanded. The
// parser bounds the number of nodes but not their size: a thousand aliases may refer to a text of a
// megabyte. [ToJSON] and [Unmarshal] call CheckExpansion. Other code must call it before it passes
// a text to a parser that follows aliases.
func CheckExpansion(document []byte) error {
	if !bytes.ContainsRune(document, '&') || !bytes.ContainsRune(document, '*') {
		return nil
	}
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(document, &root); err != nil {
		return err
	}
	most := max(MaxExpanded, 2*len(document))
	e := expansion{sizes: map[*yamlv3.Node]int{}, most: most}
	size := e.of(&root)
	if e.endless != nil {
		return fmt.Errorf("yaml: line %d: anchor %q contains itself: write what is meant",
			e.endless.Line, e.endless.Value)
	}
	if size > most {
		return fmt.Errorf("yaml: aliases make it larger than %d bytes: write less of them", most)
	}
	return nil
}

// expansion computes the sizes of nodes.
type expansion struct {
	// sizes holds the expanded size of each anchor's node, or 0 while it is being computed.
	sizes map[*yamlv3.Node]int
	most  int
	// endless is an alias inside the node that it refers to.
	endless *yamlv3.Node
}

// of returns the size of a node. It stops shortly above the limit.
func (e *expansion) of(node *yamlv3.Node) int {
	if node.Alias != nil {
		size, known := e.sizes[node.Alias]
		switch {
		case known && size == 0:
			e.endless = node
			return e.most + 1
		case known:
			return size
		}
		return e.of(node.Alias)
	}
	if node.Anchor != "" {
		e.sizes[node] = 0
	}
	size := len(node.Value) + 1
	for _, child := range node.Content {
		size = min(size+e.of(child), e.most+1)
	}
	if node.Anchor != "" {
		e.sizes[node] = size
	}
	return size
}
