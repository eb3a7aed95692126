//go:build unix

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
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwnerAndMode refuses a file that group or others can write, and a file that belongs neither
// to root nor to the user of this process.
func checkOwnerAndMode(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf(
			"%s has mode %04o: group and others must not be able to write it (chmod go-w %s)", path,
			mode, path)
	}
	return checkOwner(path, info)
}

// checkOnTheWay checks a directory on the path to a file. A directory with the sticky bit, such as
// /tmp, may be writable: nobody can replace another user's entries there, and the next entry on the
// path is checked itself.
func checkOnTheWay(path string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSticky != 0 {
		return checkOwner(path, info)
	}
	return checkOwnerAndMode(path, info)
}

func checkOwner(path string, info fs.FileInfo) error {
	owner := info.Sys().(*syscall.Stat_t).Uid
	if self := uint32(os.Geteuid()); owner != 0 && owner != self {
		return fmt.Errorf(
			"%s belongs to user %d: it must belong to root or to user %d who runs this process",
			path, owner, self)
	}
	return nil
}
