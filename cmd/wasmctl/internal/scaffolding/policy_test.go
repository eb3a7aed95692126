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

package scaffolding

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSDKIsCurrent checks that new policies get the current SDK.
func TestSDKIsCurrent(t *testing.T) {
	const sdk = "../../../../sdk/go"
	wanted := map[string]string{}
	require.NoError(t, filepath.WalkDir(sdk, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && name == "examples":
			return fs.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"),
			name == "go.mod":
			content, err := os.ReadFile(file)
			wanted["policy"+strings.TrimPrefix(filepath.ToSlash(file), "../../../../sdk/go")] =
				string(content)
			return err
		}
		return nil
	}))
	embedded := map[string]string{}
	require.NoError(t,
		fs.WalkDir(policyFiles, "policy/sdk",
			func(file string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				content, err := policyFiles.ReadFile(file)
				embedded["policy"+
					strings.TrimSuffix(strings.TrimPrefix(file, "policy/sdk"), disguise)] =
					string(content)
				return err
			}))
	require.Equal(t, wanted, embedded, "run make generate")
}

// TestMakefilesWriteTheModuleOnce checks that policy.wasm is never there without metadata: a
// server that watches it would refuse it, and make would take it for finished.
func TestMakefilesWriteTheModuleOnce(t *testing.T) {
	for _, language := range []string{"go", "rego", "rust"} {
		t.Run(language, func(t *testing.T) {
			makefile, err := policyFiles.ReadFile("policy/" + language + "/Makefile")
			require.NoError(t, err)
			var writers []string
			for line := range strings.Lines(string(makefile)) {
				if strings.HasPrefix(line, "\t") && strings.Contains(line, "$@") {
					writers = append(writers, strings.TrimSpace(line))
				}
			}
			require.Len(t, writers, 1)
			require.Regexp(t, `^\$\(WASMCTL\) annotate .* --output-path \$@ [^$]+$`, writers[0])
		})
	}
}
