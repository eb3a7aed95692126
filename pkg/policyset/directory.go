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

package policyset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/safefile"
)

// Bounds of a policy directory.
const (
	maxDirectoryEntries = 10_000
	maxManifestFiles    = 1_000
	maxManifestBytes    = 8 << 20 // all files together
)

// manifestExtensions are how the names of files end that are read.
var manifestExtensions = []string{".json", ".yaml", ".yml"}

// directory is what a policy directory held at one time.
type directory struct {
	files   []file // in the order of their names
	ignored []string
	hash    string
}

type file struct {
	name    string
	content []byte
}

// readDirectory reads a policy directory. Files that are exchanged while they are read,
// as Kubernetes does with a ConfigMap's, must not come from before and after: it reads
// until it finds the same twice.
func readDirectory(path string) (*directory, error) {
	const tries = 6
	var before *directory
	for range tries {
		read, err := readDirectoryOnce(path)
		if err != nil {
			// Some file may have gone on the way, and not its directory.
			if again, errAgain := readDirectoryOnce(path); errAgain == nil {
				before = again
				continue
			}
			return nil, err
		}
		if before != nil && before.hash == read.hash {
			return read, nil
		}
		before = read
	}
	return nil, fmt.Errorf("%s changes while it is read, again and again", path)
}

func readDirectoryOnce(path string) (*directory, error) {
	// A link can come to lead to another directory at any time: it is followed once.
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	names, err := safefile.ReadNames(path, maxDirectoryEntries)
	if err != nil {
		return nil, err
	}
	d := &directory{}
	sum, left := sha256.New(), int64(maxManifestBytes)
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~"):
			continue // what volumes and editors put there
		case !slices.Contains(manifestExtensions, filepath.Ext(name)):
			d.ignored = append(d.ignored, name)
			continue
		case len(d.files) == maxManifestFiles:
			return nil, fmt.Errorf("%s holds more than %d manifests: join some, each file can hold many policies", path, maxManifestFiles)
		}
		content, err := safefile.Read(filepath.Join(root, name), left)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(path, name), err)
		}
		left -= int64(len(content))
		d.files = append(d.files, file{name, content})
		fmt.Fprintf(sum, "%q %d\n", name, len(content))
		_, _ = sum.Write(content) // a hash takes everything
	}
	d.hash = hex.EncodeToString(sum.Sum(nil))
	return d, nil
}

// warnings says what was left aside.
func (d *directory) warnings() (lines []string) {
	for _, name := range d.ignored {
		lines = append(lines, fmt.Sprintf("policyDirectory: %s is not read: names of manifests end in %s", name, strings.Join(manifestExtensions, ", ")))
	}
	if len(d.files) == 0 {
		lines = append(lines, "policyDirectory: holds no manifest")
	}
	return lines
}
