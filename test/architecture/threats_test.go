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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// named matches the name of a test, or the package of the tests before it.
var named = regexp.MustCompile(
	"`((?:Test|Fuzz)[A-Za-z0-9_]+)[^`]*`|\\(((?:internal|pkg|plugin|cmd|test)/[a-z0-9/-]+)\\)")

// TestThreatsNameTheirTests checks that every test that the threat model names exists, in the
// package that follows the name.
func TestThreatsNameTheirTests(t *testing.T) {
	require.Greater(t, findTests(t, "docs/threat-model.md"), 150)
}

// TestTheProposalNamesItsTests does the same for the enhancement proposal.
func TestTheProposalNamesItsTests(t *testing.T) {
	require.Greater(t, findTests(t, "docs/kep/README.md"), 5)
}

// findTests checks that all tests that a document names exist, and returns their number.
func findTests(t *testing.T, document string) (found int) {
	t.Helper()
	for paragraph := range strings.SplitSeq(read(t, document), "\n\n") {
		var waiting []string
		for _, match := range named.FindAllStringSubmatch(paragraph, -1) {
			if match[1] != "" {
				waiting = append(waiting, match[1])
				continue
			}
			for _, name := range waiting {
				require.True(t, isTestOf(t, match[2], name), "%s has no %s", match[2], name)
			}
			found, waiting = found+len(waiting), nil
		}
		require.Empty(t, waiting, "no package follows these tests in: %s", paragraph)
	}
	return found
}

// isTestOf reports whether a package has a test.
func isTestOf(t *testing.T, directory, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", directory, "*_test.go"))
	require.NoError(t, err)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains(string(source), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
