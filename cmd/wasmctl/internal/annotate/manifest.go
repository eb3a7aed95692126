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
	"maps"
	"slices"
	"strings"
)

const (
	// sourceAnnotation holds the location of a policy's source code.
	sourceAnnotation = "io.kubewarden.policy.source"
	// imageSourceAnnotation is the annotation for the source that image tools read.
	imageSourceAnnotation = "org.opencontainers.image.source"
)

// ManifestAnnotations returns a policy's annotations for its manifest in a registry, as kwctl
// writes them. It trims white space and adds the source under the name that image tools read. It
// omits annotations with several lines, and returns their sorted names.
func ManifestAnnotations(annotations map[string]string) (kept map[string]string,
	severalLines []string) {
	kept = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if value := annotations[name]; strings.Contains(strings.TrimSuffix(value, "\n"), "\n") {
			severalLines = append(severalLines, name)
		} else {
			kept[name] = strings.TrimSpace(value)
		}
	}
	if source, ok := kept[sourceAnnotation]; ok {
		if _, ok := kept[imageSourceAnnotation]; !ok {
			kept[imageSourceAnnotation] = source
		}
	}
	return kept, severalLines
}
