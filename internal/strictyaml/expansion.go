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

// MaxExpanded is what a document with aliases may grow to when they are written out, in
// bytes: 4 MiB, or twice its own size if that is more.
const MaxExpanded = 4 << 20

// CheckExpansion refuses a document that would grow beyond [MaxExpanded] when its aliases
// are written out. The parser bounds how many nodes there are then, but not how large: a
// text of a megabyte may be named a thousand times. [ToJSON] and [Unmarshal] check it
// themselves; others call it before they give text to a parser that follows aliases.
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
		return fmt.Errorf("yaml: line %d: anchor %q contains itself: write what is meant", e.endless.Line, e.endless.Value)
	}
	if size > most {
		return fmt.Errorf("yaml: aliases make it larger than %d bytes: write less of them", most)
	}
	return nil
}

// expansion measures nodes.
type expansion struct {
	// sizes are those of each anchor's node with aliases written out, 0 while it is
	// being measured.
	sizes map[*yamlv3.Node]int
	most  int
	// endless is an alias within what it names.
	endless *yamlv3.Node
}

// of returns the size of a node, at most a little more than the largest allowed.
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
