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
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// own creates the directory, checks that it is private, and locks it until the returned file is
// closed.
func own(directory string) (*os.File, error) {
	if err := safefile.PrivateDirectory(directory); err != nil {
		return nil, err
	}
	path := filepath.Join(directory, lockName)
	lock, err := safefile.Lock(path)
	if errors.Is(err, safefile.ErrLocked) {
		return nil, fmt.Errorf(
			"%s is in use by another process or another cache of this one: it holds %s",
			directory, path)
	}
	return lock, err
}

// stillOwn checks that the directory is still the one that this process owns. If the directory or
// its lock was removed, stillOwn creates it again and takes ownership: the process may run for
// months and must not refuse all configuration changes until it ends. It refuses a directory that
// it cannot own, like [Open].
func (c *Cache) stillOwn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := safefile.PrivateDirectory(c.directory); err != nil {
		return err
	}
	held, err := c.lock.Stat()
	if err != nil {
		return err
	}
	if found, err := os.Lstat(filepath.Join(c.directory, lockName)); err == nil &&
		os.SameFile(held, found) {
		return nil
	}
	lock, err := own(c.directory)
	if err != nil {
		return err
	}
	c.logger.Warn(
		"The directory for compiled code, or its lock, was removed while in use: creating it again",
		"directory", c.directory)
	_ = c.lock.Close() // the lock of the removed directory
	c.lock = lock
	return nil
}
