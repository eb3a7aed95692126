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
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// The names known in metadata. Others may belong to future versions and are kept.
var (
	fieldNames    = namesOf[abi.Metadata]()
	ruleNames     = namesOf[abi.Rule]()
	resourceNames = namesOf[abi.ContextAwareResource]()
	// annotationNames are the annotations that Kubewarden and Artifact Hub know.
	annotationNames = []string{
		"io.kubewarden.policy.title", "io.kubewarden.policy.version",
		"io.kubewarden.policy.description", "io.kubewarden.policy.author",
		"io.kubewarden.policy.url", "io.kubewarden.policy.ociUrl", "io.kubewarden.policy.source",
		"io.kubewarden.policy.license",
		usageAnnotation, "io.kubewarden.policy.severity", "io.kubewarden.policy.category",
		"io.artifacthub.resources",
		"io.artifacthub.displayName", "io.artifacthub.keywords", "io.kubewarden.hidden-ui",
		"io.kubewarden.kwctl",
	}
)

func namesOf[T any]() (names []string) {
	of := reflect.TypeFor[T]()
	for n := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(n).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func isField(name string) bool { return slices.Contains(fieldNames, name) }

// NearMisses returns a line for each unknown name that resembles a known one. Hosts would ignore
// such a field.
func (m *Metadata) NearMisses() (lines []string) {
	look := func(path string, value any, known []string) {
		fields, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if meant := explain.Nearest(name, known); meant != "" && !slices.Contains(known, name) {
				lines = append(lines,
					fmt.Sprintf("%s%s: no host reads a field of this name: did you mean %s?", path,
						name, meant))
			}
		}
	}
	each := func(field string, known []string) {
		entries, _ := m.fields[field].([]any)
		for n, entry := range entries {
			look(fmt.Sprintf("%s[%d].", field, n), entry, known)
		}
	}
	look("", m.fields, fieldNames)
	each("rules", ruleNames)
	each("contextAwareResources", resourceNames)
	look("annotations.", m.fields["annotations"], annotationNames)
	return lines
}
