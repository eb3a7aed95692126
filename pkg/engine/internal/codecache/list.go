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

package codecache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// list returns the files below the directory of an entry, sorted by path. It fails if it finds
// anything other than private, nonempty directories and private regular files, or more than
// [maxFiles] of them.
func list(directory string) ([]onDisk, error) {
	l := lister{root: directory}
	if err := l.visit("."); err != nil {
		return nil, err
	}
	slices.SortFunc(l.files, func(a, b onDisk) int { return strings.Compare(a.path, b.path) })
	return l.files, nil
}

type lister struct {
	root  string
	seen  int
	files []onDisk
}

// visit lists a path below the root. It counts everything that it visits, which also bounds its
// depth.
func (l *lister) visit(relative string) error {
	if l.seen++; l.seen > maxFiles {
		return fmt.Errorf("there are more than %d files and directories", maxFiles)
	}
	absolute := filepath.Join(l.root, filepath.FromSlash(relative))
	info, err := os.Lstat(absolute)
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a regular file nor a directory", absolute)
	}
	if err := safefile.CheckPrivate(absolute, info); err != nil {
		return err
	}
	if !info.IsDir() {
		l.files = append(l.files, onDisk{relative, info.Size(), info.ModTime().UnixNano()})
		return nil
	}
	names, err := l.names(absolute)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := l.visit(path.Join(relative, name)); err != nil {
			return err
		}
	}
	return nil
}

// names reads at most as many names from a directory as are allowed.
func (l *lister) names(directory string) ([]string, error) {
	f, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var names []string
	for len(names) <= maxFiles {
		some, err := f.Readdirnames(maxFiles + 1)
		names = append(names, some...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("directory %s is empty", directory)
	}
	return names, nil
}
