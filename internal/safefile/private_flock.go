//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

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
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// supported reports whether this system has file owners, modes and locks.
const supported = true

func check(path string, info fs.FileInfo, user int) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o: group and others must have no access (chmod go= %s)",
			path, mode, path)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(user) {
		return fmt.Errorf("%s belongs to user %d, not to user %d who runs this process", path,
			owner, user)
	}
	return nil
}

// openFile opens the file at a path without blocking on a named pipe, and without following a
// symbolic link.
func openFile(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
}

func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrLocked
		default:
			return err
		}
	}
}
