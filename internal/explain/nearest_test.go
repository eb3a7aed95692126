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

package explain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	known := []string{"rules", "mutating", "contextAwareResources"}
	for name, want := range map[string]string{
		"rule": "rules", "Rules": "rules", "mutation": "mutating",
		"contextawareresources": "contextAwareResources",
		"contextAwareResource":  "contextAwareResources", "context": "", "": "", "annotations": "",
	} {
		require.Equal(t, want, Nearest(name, known), name)
	}
	require.Empty(t, Nearest("a", nil))
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "ac", 1},
		{"ac", "abc", 1},
		{"kitten", "sitting", 3},
	} {
		require.Equal(t, test.want, EditDistance(test.a, test.b), "%q to %q", test.a, test.b)
	}
}
