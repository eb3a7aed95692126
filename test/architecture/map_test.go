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

package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var path = regexp.MustCompile(
	"`((?:cmd|deploy|docs|examples|hack|internal|pkg|plugin|test)/[A-Za-z0-9_./-]+)`")

// TestNamedFilesExist checks that every file and directory that the documents for contributors name
// exists.
func TestNamedFilesExist(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, document := range []string{"docs/architecture.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(filepath.Join(root, document))
		require.NoError(t, err)
		named := path.FindAllSubmatch(text, -1)
		require.Greater(t, len(named), 30)
		for _, name := range named {
			_, err := os.Stat(filepath.Join(root, string(name[1])))
			require.NoError(t, err, document)
		}
	}
}
