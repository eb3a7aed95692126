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
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// policyFiles has a directory for each language, one for all languages, and the SDK for Go, which
// `make generate` copies from sdk/go.
//
//go:embed policy
var policyFiles embed.FS

const (
	// languageGo is the language whose policies include the SDK.
	languageGo = "go"
	// policyName stands for the name of a policy in the files.
	policyName = "POLICY-NAME"
	// disguise is a suffix that hides files from tools that would otherwise process them.
	disguise = ".txt"
)

// Languages are the languages of new policies.
var Languages = []string{languageGo, "rust", "rego"}

// WritePolicy writes a new policy into a directory, which is created if necessary and must be
// empty. It returns the sorted files that it wrote, except for those of the SDK.
func WritePolicy(directory, name, language string) (written []string, err error) {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return nil, fmt.Errorf("the name %q: %s", name, strings.Join(problems, "; "))
	}
	if entries, err := os.ReadDir(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: name an empty or a new directory", directory)
	}
	for _, from := range []string{language, "common"} {
		files, err := writeTree(path.Join("policy", from), directory, name)
		if err != nil {
			return nil, err
		}
		written = append(written, files...)
	}
	if language == languageGo {
		_, err = writeTree("policy/sdk", filepath.Join(directory, "sdk"), name)
	}
	return written, err
}

// writeTree writes the files below a directory of policyFiles.
func writeTree(from, directory, name string) (written []string, err error) {
	return written,
		fs.WalkDir(policyFiles, from, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := policyFiles.ReadFile(file)
			if err != nil {
				return err
			}
			relative := strings.TrimSuffix(strings.TrimPrefix(file, from+"/"), disguise)
			if relative == "gitignore" {
				relative = ".gitignore"
			}
			target := filepath.Join(directory, filepath.FromSlash(relative))
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			written = append(written, relative)
			return os.WriteFile(target,
				[]byte(strings.ReplaceAll(string(content), policyName, name)),
				0o644)
		})
}
