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
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Fill stores the code of one module under the name of another module's code. compile and standIn
// each compile their module into the directory, which must be empty before, and each add one file.
// The file from compile replaces the file from standIn, so that compiling the second module again
// returns the code of the first. After an error, the caller must discard the directory.
//
// Fill runs in the process that compiles, which need not be the one that has the entry open.
func Fill(directory string, compile, standIn func() error) error {
	code, err := added(directory, nil, compile)
	if err != nil {
		return err
	}
	place, err := added(directory, []onDisk{code}, standIn)
	if err != nil {
		return err
	}
	path := func(f onDisk) string { return filepath.Join(directory, filepath.FromSlash(f.path)) }
	return os.Rename(path(code), path(place))
}

// Filled adopts the files that [Fill] wrote into the directory. After an error, the caller must
// discard the entry.
func (e *Entry) Filled() error {
	files, err := list(e.directory)
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("there are %d files of code, expected 1", len(files))
	}
	if err == nil {
		err = e.cache.checkSize(total(files))
	}
	if err != nil {
		return fmt.Errorf("fill compiled code %s: %w", e.key, err)
	}
	e.files = files
	return nil
}

// added returns the single file that a compilation adds to the others.
func added(directory string, others []onDisk, compile func() error) (onDisk, error) {
	if err := compile(); err != nil {
		return onDisk{}, err
	}
	files, err := list(directory)
	if err != nil {
		return onDisk{}, err
	}
	left := slices.DeleteFunc(slices.Clone(files), func(f onDisk) bool {
		return slices.Contains(others, f)
	})
	if len(left) != 1 || len(files) != len(others)+1 {
		return onDisk{}, fmt.Errorf(
			"there are %d files after a compilation, %d of which are new, expected %d and 1",
			len(files), len(left), len(others)+1)
	}
	return left[0], nil
}

// Changed reports whether the directory differs from when it was last verified, filled, or
// committed. A caller that expected the compiler to find code there thereby learns that it compiled
// instead.
func (e *Entry) Changed() (bool, error) {
	files, err := list(e.directory)
	return !slices.Equal(files, e.files), err
}
