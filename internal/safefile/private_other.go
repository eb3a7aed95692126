//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

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

package safefile

import (
	"errors"
	"io/fs"
	"os"
)

// supported reports whether this system has file owners, modes and locks.
const supported = false

// Without owners, modes and locks, nobody can tell who wrote into a directory.

func check(string, fs.FileInfo, int) error { return errors.ErrUnsupported }

func openFile(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }

func lock(*os.File) error { return errors.ErrUnsupported }
