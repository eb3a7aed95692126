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

package kubewarden

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/safefile"
)

const (
	// maxEntries bounds the entries of a directory, hidden and other ones included.
	maxEntries = 1000
	// maxFileSize bounds one file, and what a document grows to when its aliases are
	// written out, in bytes.
	maxFileSize = 4 << 20
	// maxTotalSize bounds all files together, in bytes.
	maxTotalSize = 64 << 20
)

// extensions are those of manifests. Other files are left alone.
var extensions = []string{".json", ".yaml", ".yml"}

// File is a manifest as it was read.
type File struct {
	// Path is where it was, for messages.
	Path string
	// Content is what was in it.
	Content []byte
}

// Files are the manifests of a directory, in the order of their names.
type Files []File

// ReadFiles reads every *.yaml, *.yml and *.json directly in the directory at an
// absolute path. It follows symbolic links and leaves out hidden entries, so that a
// mounted ConfigMap is read once. It fails if others could have written a file or
// put one there, and if there are too many or too large ones.
func ReadFiles(directory string) (Files, error) {
	names, err := safefile.ReadNames(directory, maxEntries)
	if err != nil {
		return nil, fmt.Errorf("reading the policy directory: %w", err)
	}
	var files Files
	var errs []error
	total := 0
	for _, name := range names {
		if strings.HasPrefix(name, ".") || !slices.Contains(extensions, filepath.Ext(name)) {
			continue
		}
		path := filepath.Join(directory, name)
		content, err := safefile.Read(path, int64(min(maxFileSize, maxTotalSize-total)))
		var tooLarge *safefile.TooLargeError
		if errors.As(err, &tooLarge) && tooLarge.Max < maxFileSize {
			return nil, fmt.Errorf("the manifests in %s have more than %d bytes: remove some", directory, maxTotalSize)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading a manifest: %w", err))
			continue
		}
		total += len(content)
		files = append(files, File{Path: path, Content: content})
	}
	return files, errors.Join(errs...)
}

// Hash is a SHA-256 in hexadecimal over the paths and contents of the files: it is the
// same for the same files, and so are their policies.
func (f Files) Hash() string {
	hash := sha256.New()
	add := func(text []byte) {
		// The lengths tell "a", "bc" from "ab", "c".
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text)))) // a hash takes everything
		_, _ = hash.Write(text)
	}
	for _, file := range f {
		add([]byte(file.Path))
		add(file.Content)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
