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

// mask selects fields of an object: it keeps the named fields, and applies a nested mask to each of
// them. A nil mask keeps everything.
type mask map[string]mask

// parseMask builds a mask from dot-separated paths, such as "spec.containers.image". The mask
// always keeps the fields that every object must have. Without paths, there is no mask. The
// returned text is the same for all lists of paths that mean the same set.
func parseMask(paths []string) (mask, string, error) {
	if len(paths) == 0 {
		return nil, "", nil
	}
	if len(paths) > maxMasks {
		return nil, "", &refusal{
			fmt.Errorf("%d field masks are too many: a call may have %d", len(paths), maxMasks),
		}
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

// add adds a path. If one path is a prefix of another, the shorter one counts.
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

// apply removes the fields outside the mask. It modifies the object.
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

// prune applies the mask to an object, or to each object in a list. Other values have none of the
// named fields.
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
