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
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManifestAnnotations(t *testing.T) {
	for name, test := range map[string]struct {
		annotations, kept map[string]string
		dropped           []string
	}{
		"none":   {nil, map[string]string{}, nil},
		"spaces": {map[string]string{"a": " text \n"}, map[string]string{"a": "text"}, nil},
		"lines": {
			map[string]string{"c": "one\ntwo", "b": "\ntext", "a": "text\n\n", "d": "text"},
			map[string]string{"d": "text"}, []string{"a", "b", "c"},
		},
		"source": {
			map[string]string{sourceAnnotation: "https://example.com"},
			map[string]string{
				sourceAnnotation:      "https://example.com",
				imageSourceAnnotation: "https://example.com",
			}, nil,
		},
		"both sources": {
			map[string]string{
				sourceAnnotation:      "https://example.com",
				imageSourceAnnotation: "https://other.example.com",
			},
			map[string]string{
				sourceAnnotation:      "https://example.com",
				imageSourceAnnotation: "https://other.example.com",
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			kept, dropped := ManifestAnnotations(test.annotations)
			require.Equal(t, test.kept, kept)
			require.Equal(t, test.dropped, dropped)
		})
	}
}
