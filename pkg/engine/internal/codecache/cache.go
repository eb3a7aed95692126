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
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultMaxBytes is the default of [Options.MaxBytes], 2 GiB. A policy's code takes 1 to 100 MB.
const DefaultMaxBytes = 2 << 30

// ErrClosed is returned by [Cache.Entry] after [Cache.Close].
var ErrClosed = errors.New("cache of compiled code is closed")

// Options configures a [Cache]. The zero value is usable.
type Options struct {
	// MaxBytes bounds the total size of all entries in bytes. 0 means [DefaultMaxBytes]. Open
	// entries may exceed it until they are closed.
	MaxBytes int64
	// Logger receives what is removed and why. Nil discards it.
	Logger *slog.Logger
}

// Cache is a directory of compiled code that this process owns. Create one with [Open] and end it
// with [Cache.Close]. It is safe for concurrent use.
type Cache struct {
	directory string
	maxBytes  int64
	logger    *slog.Logger

	mu      sync.Mutex
	lock    *os.File              // nil when closed
	entries map[Key]usage         // the entries on disk that have a manifest
	open    map[Key]chan struct{} // each is closed when its entry is closed
}

// usage is what eviction needs to know about an entry.
type usage struct {
	bytes int64
	last  time.Time
}

// Open takes ownership of a directory. The path must be absolute; Open creates the directory with
// mode 0700 if it does not exist. Open fails, and changes nothing, if the path is a symbolic link
// or not a directory, if it belongs to anyone but the effective user, if group or others have any
// access, or if another Cache owns it, in this process or another. On systems without file owners
// and locks, the error wraps [errors.ErrUnsupported].
//
// Open removes leftovers of interrupted runs, and then the least recently used entries that exceed
// [Options.MaxBytes]. It logs and keeps files with names that this package does not use. It reads
// no entries: each is verified when it is opened.
func Open(directory string, options Options) (*Cache, error) {
	c := &Cache{
		maxBytes: cmp.Or(options.MaxBytes, DefaultMaxBytes),
		logger:   options.Logger,
		entries:  map[Key]usage{},
		open:     map[Key]chan struct{}{},
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.maxBytes < 0 {
		return nil, fmt.Errorf("cache of compiled code cannot be bounded to %d bytes", c.maxBytes)
	}
	if !filepath.IsAbs(directory) {
		return nil, fmt.Errorf("directory for compiled code: %q is not an absolute path", directory)
	}
	// With a trailing slash, the system would follow a symbolic link.
	c.directory = filepath.Clean(directory)
	var err error
	if c.lock, err = own(c.directory); err != nil {
		return nil, fmt.Errorf("directory for compiled code: %w", err)
	}
	if err := c.scan(); err != nil {
		_ = c.lock.Close()
		return nil, fmt.Errorf("directory for compiled code: %w", err)
	}
	return c, nil
}

// Close gives up the directory, so that another process can [Open] it. It fails, and does nothing,
// while entries are open.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lock == nil {
		return nil
	}
	if n := len(c.open); n > 0 {
		return fmt.Errorf("cache of compiled code %s: %d entries are still open", c.directory, n)
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}

// scan reads what the directory holds and removes leftovers.
func (c *Cache) scan() error {
	names, err := os.ReadDir(c.directory)
	if err != nil {
		return err
	}
	parts := map[Key][]string{}
	var foreign []string
	for _, name := range names {
		if key, suffix, ok := parseName(name.Name()); ok {
			parts[key] = append(parts[key], suffix)
		} else if name.Name() != lockName {
			foreign = append(foreign, name.Name())
		}
	}
	if len(foreign) > 0 {
		// Somebody may have configured the wrong directory.
		c.logger.Warn("Ignoring files that do not belong to the cache of compiled code",
			"directory", c.directory, "count", len(foreign), "first", foreign[0])
	}
	for key, suffixes := range parts {
		if !slices.Equal(suffixes, []string{"", manifestSuffix}) { // ReadDir sorts
			c.logger.Info("Removing leftovers of an interrupted compilation", "entry", key)
		} else if c.entries[key], err = c.usageOnDisk(key); err != nil {
			c.logger.Warn("Removing damaged compiled code", "entry", key, "err", err)
		} else {
			continue
		}
		if err := c.forget(key); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict()
	return nil
}

// usageOnDisk measures an entry without reading it.
func (c *Cache) usageOnDisk(key Key) (usage, error) {
	files, err := list(c.path(key, ""))
	if err != nil {
		return usage{}, err
	}
	info, err := os.Lstat(c.path(key, manifestSuffix))
	if err != nil {
		return usage{}, err
	}
	return usage{bytes: total(files), last: info.ModTime()}, nil
}

// path returns the path of a part of an entry. The suffix "" stands for the directory.
func (c *Cache) path(key Key, suffix string) string {
	return filepath.Join(c.directory, key.String()+suffix)
}

// remove deletes everything that belongs to a key. It deletes the manifest first, so that an
// interrupted removal leaves nothing that counts as an entry.
func (c *Cache) remove(key Key) error {
	var errs []error
	for _, suffix := range []string{manifestSuffix, temporarySuffix, ""} {
		errs = append(errs, os.RemoveAll(c.path(key, suffix)))
	}
	return errors.Join(errs...)
}

// evict removes the least recently used closed entries until the rest fits the bound. The caller
// holds c.mu, so nobody can open an entry meanwhile.
func (c *Cache) evict() {
	var sum int64
	var closed []Key
	for key, u := range c.entries {
		sum += u.bytes
		if _, open := c.open[key]; !open {
			closed = append(closed, key)
		}
	}
	slices.SortFunc(closed, func(a, b Key) int {
		return c.entries[a].last.Compare(c.entries[b].last)
	})
	for _, key := range closed {
		if sum <= c.maxBytes {
			return
		}
		u := c.entries[key]
		c.logger.Info("Removing compiled code to make room", "entry", key, "bytes", u.bytes,
			"lastUsed", u.last)
		if err := c.remove(key); err != nil {
			c.logger.Warn("Cannot remove compiled code", "entry", key, "err", err)
		}
		delete(c.entries, key)
		sum -= u.bytes
	}
}

// checkSize refuses code that alone exceeds the cache's bound.
func (c *Cache) checkSize(bytes int64) error {
	if bytes > c.maxBytes {
		return fmt.Errorf("%d bytes of code are more than the cache may hold (%d)", bytes,
			c.maxBytes)
	}
	return nil
}

// acquire waits until no one else has the entry open, and reserves it for the caller.
func (c *Cache) acquire(ctx context.Context, key Key) error {
	for {
		c.mu.Lock()
		if c.lock == nil {
			c.mu.Unlock()
			return ErrClosed
		}
		closed, taken := c.open[key]
		if !taken {
			c.open[key] = make(chan struct{})
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release ends what acquire began.
func (c *Cache) release(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.open[key])
	delete(c.open, key)
	c.evict()
}

// use records that an entry is on disk and was just used: in memory, and for the next run in its
// manifest's modification time.
func (c *Cache) use(key Key, bytes int64) error {
	u := usage{bytes: bytes, last: time.Now()}
	c.mu.Lock()
	c.entries[key] = u
	c.mu.Unlock()
	return os.Chtimes(c.path(key, manifestSuffix), time.Time{}, u.last)
}

// forget removes an entry from the disk and from memory.
func (c *Cache) forget(key Key) error {
	c.mu.Lock()
	delete(c.entries, key)
	c.mu.Unlock()
	return c.remove(key)
}

// absent reports whether nothing is stored under a key.
func (c *Cache) absent(key Key) bool {
	for _, suffix := range []string{"", manifestSuffix} {
		if _, err := os.Lstat(c.path(key, suffix)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}
