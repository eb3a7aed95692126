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
	// sourceAnnotation is where a policy's source code is.
	sourceAnnotation = "io.kubewarden.policy.source"
	// imageSourceAnnotation is what tools for images look for.
	imageSourceAnnotation = "org.opencontainers.image.source"
)

// ManifestAnnotations returns the annotations of a policy as its manifest in a registry has
// them, the same as kwctl writes: without space at either end, with the source under the
// name that tools for images know, and without those of several lines, whose names are
// returned in order.
func ManifestAnnotations(annotations map[string]string) (kept map[string]string, severalLines []string) {
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
