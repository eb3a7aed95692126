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
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// Entry is exclusive access to the directory of one key. It belongs to one goroutine, which must
// call [Entry.Close].
type Entry struct {
	cache     *Cache
	key       Key
	directory string

	found  bool
	kept   bool     // a manifest vouches for files
	files  []onDisk // as of the last verification or commit
	closed bool
}

// Entry opens the entry of a key. A second caller for the same key waits until the first has closed
// the entry, or until its own context ends.
//
// If an entry is not exactly as its manifest says, Entry removes it, logs the reason, and opens it
// as if it had not existed: not found, with an empty directory. A file may be missing, added,
// longer, shorter, different, linked, or accessible to others; or the manifest itself may be
// damaged or belong to another entry. If the cache's directory was removed while it was in use,
// Entry creates it again. An error means that the cache cannot be used.
func (c *Cache) Entry(ctx context.Context, key Key) (*Entry, error) {
	if err := c.acquire(ctx, key); err != nil {
		return nil, fmt.Errorf("open compiled code %s: %w", key, err)
	}
	e := &Entry{cache: c, key: key, directory: c.path(key, "")}
	if err := e.prepare(); err != nil {
		e.Close()
		return nil, fmt.Errorf("open compiled code %s: %w", key, err)
	}
	return e, nil
}

func (e *Entry) prepare() error {
	c := e.cache
	if err := c.stillOwn(); err != nil {
		return err
	}
	if !c.absent(e.key) {
		err := e.verify()
		if err == nil {
			e.found, e.kept = true, true
			if err := c.use(e.key, total(e.files)); err != nil {
				c.logger.Warn("Cannot record when compiled code was used", "entry", e.key,
					"err", err)
			}
			return nil
		}
		c.logger.Warn("Removing damaged compiled code", "entry", e.key, "err", err)
	}
	return e.empty()
}

// verify compares the directory with the manifest. It checks names and sizes first, so that it
// reads no file that is larger than it should be.
func (e *Entry) verify() error {
	m, err := readManifest(e.cache.path(e.key, manifestSuffix), e.key)
	if err != nil {
		return err
	}
	files, err := list(e.directory)
	if err != nil {
		return err
	}
	if err := e.cache.checkSize(total(files)); err != nil {
		return err
	}
	if err := m.match(e.directory, files); err != nil {
		return err
	}
	e.files = files
	return nil
}

// empty removes everything that belongs to the key and creates its directory again.
func (e *Entry) empty() error {
	e.found, e.kept, e.files = false, false, nil
	if err := e.cache.forget(e.key); err != nil {
		return err
	}
	return os.Mkdir(e.directory, 0o700)
}

// Directory returns the absolute path for wazero.NewCompilationCacheWithDir. Note that wazero fails
// a compilation if it cannot write the code there, for example on a full disk.
func (e *Entry) Directory() string { return e.directory }

// Found reports whether the directory holds verified code. Otherwise the directory is empty.
func (e *Entry) Found() bool { return e.found }

// Discard empties the directory, for a caller that could not use the code it found and will compile
// instead.
func (e *Entry) Discard() error {
	if e.closed {
		return errors.New("entry is closed")
	}
	if err := e.empty(); err != nil {
		return fmt.Errorf("discard compiled code %s: %w", e.key, err)
	}
	return nil
}

// Commit makes the entry permanent in its current state. It flushes everything to disk and then
// renames the manifest into place, so that the entry is either complete or absent at any moment. It
// fails if there is no code, or more than [Options.MaxBytes]; [Entry.Close] then removes the entry.
//
// Call it after every compilation. It costs nothing if the entry was found and is unchanged. An
// entry grows if the CPU has other features than the one that it was compiled on.
func (e *Entry) Commit() error {
	if err := e.commit(); err != nil {
		return fmt.Errorf("keep compiled code %s: %w", e.key, err)
	}
	return nil
}

func (e *Entry) commit() error {
	if e.closed {
		return errors.New("entry is closed")
	}
	files, err := list(e.directory)
	if err == nil && e.kept && slices.Equal(files, e.files) {
		return nil
	}
	e.kept = false
	if err != nil {
		return err
	}
	sum := total(files)
	if err := e.cache.checkSize(sum); err != nil {
		return err
	}
	m, err := newManifest(e.key, e.directory, files)
	if err != nil {
		return err
	}
	path := e.cache.path(e.key, manifestSuffix)
	if err := m.write(path, e.cache.path(e.key, temporarySuffix)); err != nil {
		return err
	}
	if err := safefile.SyncDirectory(e.cache.directory); err != nil {
		return err
	}
	e.kept, e.files = true, files
	return e.cache.use(e.key, sum)
}

// Close releases the entry to the next caller that waits for it. An entry that was neither found
// nor committed is removed. Closing it again does nothing.
func (e *Entry) Close() {
	if e.closed {
		return
	}
	e.closed = true
	if !e.kept {
		if err := e.cache.forget(e.key); err != nil {
			e.cache.logger.Warn("Cannot remove unfinished compiled code", "entry", e.key,
				"err", err)
		}
	}
	e.cache.release(e.key)
}
