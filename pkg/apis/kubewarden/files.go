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
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// Bounds of a policy directory.
const (
	// MaxEntries bounds the number of all entries of a directory, including hidden ones.
	MaxEntries = 1000
	// MaxFileSize bounds one file, in bytes.
	MaxFileSize = 4 << 20
	// MaxTotalSize bounds all files together, in bytes.
	MaxTotalSize = 64 << 20
)

// maxPassedOver bounds how many unread entries are named.
const maxPassedOver = 20

// extensions are the extensions of manifests. Files with other names are not read.
var extensions = []string{".json", ".yaml", ".yml"}

// File is a manifest file that was read.
type File struct {
	// Path is the path of the file, for messages.
	Path string
	// Content is the content of the file.
	Content []byte
}

// Files are the manifest files of a directory, sorted by name.
type Files []File

// ReadFiles reads every *.yaml, *.yml and *.json file directly in the directory at an absolute
// path. It follows symbolic links and skips hidden entries, so that it reads a mounted ConfigMap
// once. It returns an error if other users could have written a file or added one to the directory,
// or if there are too many or too large files.
//
// The warnings name the entries that it skips and that a user may believe to be enforced: all
// except hidden ones and names that end with "~", like those of backups. It returns warnings with
// an error too.
func ReadFiles(directory string) (files Files, warnings []string, err error) {
	names, err := safefile.ReadNames(directory, MaxEntries)
	if err != nil {
		return nil, nil, fmt.Errorf("policyDirectory: cannot be read: %w", err)
	}
	warnings = passedOver(directory, names)
	var errs []error
	total := 0
	for _, name := range names {
		if !IsManifest(name) {
			continue
		}
		path := filepath.Join(directory, name)
		content, err := safefile.Read(path, int64(min(MaxFileSize, MaxTotalSize-total)))
		var tooLarge *safefile.TooLargeError
		if errors.As(err, &tooLarge) && tooLarge.Max < MaxFileSize {
			return nil, warnings, fmt.Errorf(
				"the manifests in %s have more than %d bytes: remove some", directory,
				MaxTotalSize)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading a manifest: %w", err))
			continue
		}
		total += len(content)
		files = append(files, File{Path: path, Content: content})
	}
	return files, warnings, errors.Join(errs...)
}

// IsManifest reports whether a policy directory's file with this name is read as a manifest.
func IsManifest(name string) bool {
	return !isHidden(name) && slices.Contains(extensions, filepath.Ext(name))
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// passedOver returns one line for each unread entry, up to a bound, and then says how many more
// there are.
func passedOver(directory string, names []string) (warnings []string) {
	more := 0
	for _, name := range names {
		if isHidden(name) || IsManifest(name) || strings.HasSuffix(name, "~") {
			continue
		}
		if len(warnings) == maxPassedOver {
			more++
			continue
		}
		path := filepath.Join(directory, name)
		warnings = append(warnings,
			fmt.Sprintf("%q is not read, and nothing in it is enforced: %s", path,
				whyPassedOver(path)))
	}
	if more > 0 {
		warnings = append(warnings,
			fmt.Sprintf("%d more entries of %s are not read, and nothing in them is enforced", more,
				directory))
	}
	return warnings
}

func whyPassedOver(path string) string {
	extension := filepath.Ext(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "it is a directory, and manifests have to be in the policy directory itself"
	}
	if lower := strings.ToLower(extension); slices.Contains(extensions, lower) {
		return fmt.Sprintf("write its extension as %s", lower)
	}
	return "manifests end with " + strings.Join(extensions, ", ")
}

// Hash returns a SHA-256 in hexadecimal over the names and contents of the files. It does not
// depend on the directory: servers with the same hash have the same files, and so the same
// policies.
func (f Files) Hash() string {
	hash := sha256.New()
	add := func(text []byte) {
		// The length distinguishes "a", "bc" from "ab", "c". Writing to a hash never fails.
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		_, _ = hash.Write(text)
	}
	for _, file := range f {
		add([]byte(filepath.Base(file.Path)))
		add(file.Content)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
