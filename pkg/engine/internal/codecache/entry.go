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

// Entry is the exclusive use of the directory of one key. It belongs to one
// goroutine, which ends it with [Entry.Close].
type Entry struct {
	cache     *Cache
	key       Key
	directory string

	found  bool
	kept   bool     // a manifest vouches for files
	files  []onDisk // as of the last verification or commit
	closed bool
}

// Entry opens the entry of a key; a second caller for the same key waits until
// the first has closed it, or until its own context ends.
//
// An entry that is not exactly as its manifest says (a file is missing, added,
// longer, shorter, different, linked, or open to others; the manifest itself is
// damaged or another entry's) is removed, which is logged with the reason, and
// opened as if there had been none: not found, with an empty directory. A directory that
// was removed while it was in use is made anew. An error says that it cannot be used.
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
				c.logger.Warn("The time of use of compiled code cannot be kept", "entry", e.key, "err", err)
			}
			return nil
		}
		c.logger.Warn("Removing compiled code that is not what was stored", "entry", e.key, "err", err)
	}
	return e.empty()
}

// verify compares what is in the directory with the manifest: names and sizes
// first, so that nothing is read that is larger than it should be.
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

// empty removes everything of the key and makes its directory anew.
func (e *Entry) empty() error {
	e.found, e.kept, e.files = false, false, nil
	if err := e.cache.forget(e.key); err != nil {
		return err
	}
	return os.Mkdir(e.directory, 0o700)
}

// Directory returns the absolute path to give to
// wazero.NewCompilationCacheWithDir. Note that wazero fails a compilation whose
// code it cannot write there, on a full disk say.
func (e *Entry) Directory() string { return e.directory }

// Found says whether the directory holds code that was verified. Otherwise it is
// empty.
func (e *Entry) Found() bool { return e.found }

// Discard empties the directory, for a caller that could not use the code that
// was found and is going to compile instead.
func (e *Entry) Discard() error {
	if e.closed {
		return errors.New("entry is closed")
	}
	if err := e.empty(); err != nil {
		return fmt.Errorf("discard compiled code %s: %w", e.key, err)
	}
	return nil
}

// Commit makes the entry permanent as it is now: it writes everything through to
// the disk and puts the manifest there with one rename, so that at every moment
// there is either a whole entry or none. It fails if there is no code, or more
// of it than [Options.MaxBytes]; then [Entry.Close] removes the entry.
//
// Call it after every compilation. It costs nothing if the entry was found and
// is unchanged; it has been added to if the CPU has other features than the one
// that it was compiled on.
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

// Close gives the entry up to the next who waits for it. An entry that was
// neither found nor committed is removed. Closing twice does nothing.
func (e *Entry) Close() {
	if e.closed {
		return
	}
	e.closed = true
	if !e.kept {
		if err := e.cache.forget(e.key); err != nil {
			e.cache.logger.Warn("Unfinished compiled code cannot be removed", "entry", e.key, "err", err)
		}
	}
	e.cache.release(e.key)
}
