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

package kubernetes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// mask is what field masks leave of an object: the fields named, and of each what the
// mask below it leaves. A nil mask leaves everything.
type mask map[string]mask

// parseMask makes a mask of dot-separated paths, such as "spec.containers.image". What
// every object has to have stays in any case. No paths are no mask. The text that it
// returns is the same for all lists of paths that mean the same set.
func parseMask(paths []string) (mask, string, error) {
	if len(paths) == 0 {
		return nil, "", nil
	}
	if len(paths) > maxMasks {
		return nil, "", &refusal{fmt.Errorf("%d field masks are too many: a call may have %d", len(paths), maxMasks)}
	}
	paths = slices.Compact(slices.Sorted(slices.Values(paths)))
	root := mask{"apiVersion": nil, "kind": nil, "metadata": nil}
	for _, path := range paths {
		if err := bounded("field mask", path, maxMaskBytes); err != nil {
			return nil, "", err
		}
		root.add(strings.Split(path, "."))
	}
	text, err := json.Marshal(paths)
	return root, string(text), err
}

// add adds a path. Of one that is below another, the shorter counts.
func (m mask) add(path []string) {
	name, rest := path[0], path[1:]
	below, known := m[name]
	switch {
	case len(rest) == 0:
		m[name] = nil
	case known && below == nil:
	case !known:
		below = mask{}
		m[name] = below
		fallthrough
	default:
		below.add(rest)
	}
}

// apply takes away what the mask does not leave. The object is changed.
func (m mask) apply(object map[string]any) {
	for name, value := range object {
		below, kept := m[name]
		if kept && below != nil {
			object[name], kept = below.prune(value)
		}
		if !kept {
			delete(object, name)
		}
	}
}

// prune applies the mask to a value that must have fields, or to each element of a list
// of such. Other values do not have what the mask names.
func (m mask) prune(value any) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		m.apply(value)
		return value, true
	case []any:
		kept := value[:0]
		for _, element := range value {
			if pruned, ok := m.prune(element); ok {
				kept = append(kept, pruned)
			}
		}
		clear(value[len(kept):])
		return kept, true
	default:
		return nil, false
	}
}
