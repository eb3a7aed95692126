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

package codecache_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
)

// moduleThatAnswers returns (module (func (export "answer") (result i32) i32.const n)).
func moduleThatAnswers(n byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x05\x01\x60\x00\x01\x7f"+ // one type: () -> i32
		"\x03\x02\x01\x00"+ // one function of that type
		"\x07\x0a\x01\x06answer\x00\x00"+
		"\x0a\x06\x01\x04\x00\x41"), n, 0x0b)
}

// tryToUse uses a module as a caller does, and returns its answer.
func tryToUse(ctx context.Context, c *codecache.Cache,
	module []byte) (answer uint64, wasFound bool, err error) {
	e, err := c.Entry(ctx, codecache.KeyOf(module))
	if err != nil {
		return 0, false, err
	}
	defer e.Close()
	compilations, err := wazero.NewCompilationCacheWithDir(e.Directory())
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, compilations.Close(ctx)) }()
	r := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigCompiler().WithCompilationCache(compilations))
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	instance, err := r.Instantiate(ctx, module)
	if err != nil {
		return 0, false, err
	}
	if err := e.Commit(); err != nil {
		return 0, false, err
	}
	results, err := instance.ExportedFunction("answer").Call(ctx)
	if err != nil {
		return 0, false, err
	}
	return results[0], e.Found(), nil
}

func use(t *testing.T, c *codecache.Cache, module []byte) (answer uint64, wasFound bool) {
	t.Helper()
	answer, wasFound, err := tryToUse(t.Context(), c, module)
	require.NoError(t, err)
	return answer, wasFound
}

// stored describes a module's entry on disk.
type stored struct {
	directory string // of the entry
	code      string // the only file that wazero wrote
	manifest  string
}

func store(t *testing.T, directory string, c *codecache.Cache, n byte) stored {
	t.Helper()
	answer, wasFound := use(t, c, moduleThatAnswers(n))
	require.EqualValues(t, n, answer)
	require.False(t, wasFound)
	s := stored{directory: filepath.Join(directory, codecache.KeyOf(moduleThatAnswers(n)).String())}
	s.manifest = s.directory + ".manifest"
	files, err := filepath.Glob(filepath.Join(s.directory, "*", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1, "wazero keeps one file for a module")
	s.code = files[0]
	return s
}

func TestRoundTrip(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	store(t, directory, c, 7)
	answer, wasFound := use(t, c, moduleThatAnswers(7))
	require.EqualValues(t, 7, answer)
	require.True(t, wasFound)
	require.NoError(t, c.Close())

	c, log := open(t, directory, 0)
	answer, wasFound = use(t, c, moduleThatAnswers(7))
	require.EqualValues(t, 7, answer)
	require.True(t, wasFound)
	require.Empty(t, log.String())
}

// Only code from the disk runs: an entry that was committed with another module's code gives that
// module's answer. This proves that the round trip loads code from disk, and that the tests of
// tampering would notice if wrong code ran.
func TestCodeComesFromTheDisk(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	seven, eight := store(t, directory, c, 7), store(t, directory, c, 8)
	other, err := os.ReadFile(eight.code)
	require.NoError(t, err)

	e, err := c.Entry(t.Context(), codecache.KeyOf(moduleThatAnswers(7)))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(seven.code, other, 0o600))
	require.NoError(t, e.Commit())
	e.Close()
	answer, wasFound := use(t, c, moduleThatAnswers(7))
	require.EqualValues(t, 8, answer)
	require.True(t, wasFound)
}

// countAt returns the position of the number of functions in a wazero 1.12 file: after a magic word
// of 6 bytes, and the version preceded by a length byte.
func countAt(code []byte) int { return 7 + int(code[6]) }

// rewrite changes a file in place.
func rewrite(change func(b []byte) []byte) func(string) error {
	return func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(b), 0o600)
	}
}

// flip changes one bit at a place in a file.
func flip(place func(b []byte) int) func(string) error {
	return rewrite(func(b []byte) []byte {
		b[place(b)] ^= 0x20
		return b
	})
}

func toCode(change func(path string) error) func(stored) error {
	return func(s stored) error { return change(s.code) }
}

func toManifest(change func(path string) error) func(stored) error {
	return func(s stored) error { return change(s.manifest) }
}

func replaceByLink(path string) error {
	err := os.Rename(path, filepath.Dir(filepath.Dir(filepath.Dir(path)))+"/elsewhere")
	if err != nil {
		return err
	}
	return os.Symlink("../../elsewhere", path)
}

var damage = []struct {
	name string
	do   func(stored) error
}{
	{"magic word", toCode(flip(func([]byte) int { return 0 }))},
	{"length of the version", toCode(flip(func([]byte) int { return 6 }))},
	{"version", toCode(flip(func([]byte) int { return 7 }))},
	{"number of functions", toCode(rewrite(func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[countAt(b):], 0xffff_ffff)
		return b
	}))},
	{"offset of a function", toCode(flip(func(b []byte) int { return countAt(b) + 4 }))},
	{"length of the code", toCode(rewrite(func(b []byte) []byte {
		binary.LittleEndian.PutUint64(b[countAt(b)+4+8:], 1<<46)
		return b
	}))},
	{"code", toCode(flip(func(b []byte) int { return countAt(b) + 4 + 8 + 8 }))},
	{"tail", toCode(flip(func(b []byte) int { return len(b) - 1 }))},
	{"code cut off", toCode(rewrite(func(b []byte) []byte { return b[:len(b)-1] }))},
	{"code empty", toCode(rewrite(func([]byte) []byte { return nil }))},
	{"code extended", toCode(rewrite(func(b []byte) []byte { return append(b, 0) }))},
	{"code extended by a hole of 1 TiB",
		toCode(func(path string) error { return os.Truncate(path, 1<<40) })},
	{"code missing", toCode(os.Remove)},
	{"code renamed", toCode(func(path string) error { return os.Rename(path, path+"0") })},
	{"code open to others", toCode(func(path string) error { return os.Chmod(path, 0o644) })},
	{"code behind a link", toCode(replaceByLink)},
	{"code a named pipe", toCode(func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return unix.Mkfifo(path, 0o600)
	})},
	{"code a directory", toCode(func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o700)
	})},
	{"a file too many", func(s stored) error { return os.WriteFile(s.code+".tmp", nil, 0o600) }},
	{"a link too many", func(s stored) error { return os.Symlink(s.code, s.code+"0") }},
	{"a directory too many", func(s stored) error {
		return os.Mkdir(filepath.Join(s.directory, "empty"), 0o700)
	}},
	{"entry empty", func(s stored) error { return os.RemoveAll(filepath.Dir(s.code)) }},
	{"entry missing", func(s stored) error { return os.RemoveAll(s.directory) }},
	{"entry a file", func(s stored) error {
		if err := os.RemoveAll(s.directory); err != nil {
			return err
		}
		return os.WriteFile(s.directory, nil, 0o600)
	}},
	{"entry behind a link", func(s stored) error {
		if err := os.Rename(s.directory, filepath.Dir(s.directory)+"/elsewhere"); err != nil {
			return err
		}
		return os.Symlink("elsewhere", s.directory)
	}},
	{"entry open to others", func(s stored) error { return os.Chmod(s.directory, 0o755) }},
	{"another entry's manifest and code", func(s stored) error {
		other := filepath.Join(filepath.Dir(s.directory),
			codecache.KeyOf(moduleThatAnswers(8)).String())
		for _, err := range []error{
			os.RemoveAll(s.directory),
			os.Rename(other, s.directory),
			os.Rename(other+".manifest", s.manifest),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"manifest flipped", toManifest(flip(func(b []byte) int { return len(b) / 2 }))},
	{"manifest cut off", toManifest(rewrite(func(b []byte) []byte { return b[:len(b)-1] }))},
	{"manifest empty", toManifest(rewrite(func([]byte) []byte { return nil }))},
	{"manifest extended", toManifest(rewrite(func(b []byte) []byte { return append(b, '\n') }))},
	{"manifest of 1 TiB", toManifest(func(path string) error { return os.Truncate(path, 1<<40) })},
	{"manifest missing", toManifest(os.Remove)},
	{"manifest open to others",
		toManifest(func(path string) error { return os.Chmod(path, 0o640) })},
	{"manifest a link", toManifest(func(path string) error {
		if err := os.Rename(path, filepath.Dir(path)+"/elsewhere"); err != nil {
			return err
		}
		return os.Symlink("elsewhere", path)
	})},
	{"manifest a directory", toManifest(func(path string) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(path, "x"), 0o700)
	})},
}

// wazero never sees a damaged entry, whatever the damage: it is reported, removed, and compiled
// again.
func TestDamage(t *testing.T) {
	for _, between := range []string{"in one run", "between two runs"} {
		for _, test := range damage {
			t.Run(between+"/"+test.name, func(t *testing.T) {
				directory := newDirectory(t)
				c, log := open(t, directory, 0)
				s := store(t, directory, c, 7)
				store(t, directory, c, 8)
				require.Empty(t, log.String())
				require.NoError(t, test.do(s))
				if between == "between two runs" {
					require.NoError(t, c.Close())
					c, log = open(t, directory, 0)
				}

				e, err := c.Entry(t.Context(), codecache.KeyOf(moduleThatAnswers(7)))
				require.NoError(t, err)
				require.False(t, e.Found())
				require.Empty(t, namesIn(t, e.Directory()))
				require.NoFileExists(t, s.manifest)
				require.Contains(t, log.String(), "Removing")
				require.Contains(t, log.String(), filepath.Base(s.directory))
				e.Close()

				answer, wasFound := use(t, c, moduleThatAnswers(7))
				require.EqualValues(t, 7, answer)
				require.False(t, wasFound)
				answer, wasFound = use(t, c, moduleThatAnswers(7))
				require.EqualValues(t, 7, answer)
				require.True(t, wasFound)
			})
		}
	}
}

// An interrupted start resumes where it stopped, entry by entry.
func TestInterruptedStart(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	store(t, directory, c, 7)
	interrupted := store(t, directory, c, 8)
	require.NoError(t, c.Close())
	require.NoError(t, os.Remove(interrupted.manifest))
	require.NoError(t, os.Rename(interrupted.code, interrupted.code+".123.tmp"))

	c, _ = open(t, directory, 0)
	require.NoDirExists(t, interrupted.directory)
	_, wasFound := use(t, c, moduleThatAnswers(7))
	require.True(t, wasFound)
	store(t, directory, c, 8)
}

func TestConcurrentUseOfOneKey(t *testing.T) {
	c, _ := open(t, newDirectory(t), 0)
	synctest.Test(t, func(t *testing.T) {
		first, err := c.Entry(t.Context(), codecache.KeyOf(moduleThatAnswers(7)))
		require.NoError(t, err)
		var done, compiled atomic.Int32
		for range 8 {
			go func() {
				answer, wasFound, err := tryToUse(t.Context(), c, moduleThatAnswers(7))
				if err == nil && answer == 7 {
					done.Add(1)
				}
				if !wasFound {
					compiled.Add(1)
				}
			}()
		}
		synctest.Wait()
		require.Zero(t, done.Load(), "all wait for the first caller")
		first.Close()
		synctest.Wait()
		require.EqualValues(t, 8, done.Load())
		require.EqualValues(t, 1, compiled.Load(), "one caller compiles, the others find the code")
	})
}

// compileInto returns a function that makes wazero compile modules into an entry, for
// [codecache.Fill].
func compileInto(t *testing.T, e *codecache.Entry, modules ...[]byte) func() error {
	return func() error {
		compilations, err := wazero.NewCompilationCacheWithDir(e.Directory())
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, compilations.Close(t.Context())) }()
		r := wazero.NewRuntimeWithConfig(t.Context(),
			wazero.NewRuntimeConfigCompiler().WithCompilationCache(compilations))
		defer func() { require.NoError(t, r.Close(t.Context())) }()
		for _, module := range modules {
			if _, err := r.CompileModule(t.Context(), module); err != nil {
				return err
			}
		}
		return nil
	}
}

func fill(e *codecache.Entry, compile, standIn func() error) error {
	if err := codecache.Fill(e.Directory(), compile, standIn); err != nil {
		return err
	}
	return e.Filled()
}

// TestFill makes one module return what another was compiled to return.
func TestFill(t *testing.T) {
	c, _ := open(t, newDirectory(t), 0)
	code, standIn := moduleThatAnswers(1), moduleThatAnswers(2)
	e, err := c.Entry(t.Context(), codecache.KeyOf(standIn)) // where the later use looks
	require.NoError(t, err)
	require.NoError(t, fill(e, compileInto(t, e, code), compileInto(t, e, standIn)))
	for range 2 {
		changed, err := e.Changed()
		require.NoError(t, err)
		require.False(t, changed)
		require.NoError(t, compileInto(t, e, standIn)()) // finds the code
		require.NoError(t, e.Commit())
	}
	e.Close()
	answer, found := use(t, c, standIn)
	require.True(t, found)
	require.EqualValues(t, 1, answer)

	e, err = c.Entry(t.Context(), codecache.KeyOf(standIn))
	require.NoError(t, err)
	defer e.Close()
	require.NoError(t, compileInto(t, e, code)()) // finds none under its own name
	changed, err := e.Changed()
	require.NoError(t, err)
	require.True(t, changed)
}

func TestFillRefuses(t *testing.T) {
	broken := errors.New("broken")
	fails := func() error { return broken }
	nothing := func() error { return nil }
	one, two, three := moduleThatAnswers(1), moduleThatAnswers(2), moduleThatAnswers(3)
	for name, c := range map[string]struct {
		compile, standIn func(*codecache.Entry) func() error
		err              string
	}{
		"no code": {
			func(*codecache.Entry) func() error { return nothing },
			func(e *codecache.Entry) func() error { return compileInto(t, e, two) }, "is empty",
		},
		"the first fails": {
			func(*codecache.Entry) func() error { return fails },
			func(e *codecache.Entry) func() error { return compileInto(t, e, two) }, "broken",
		},
		"the second fails": {
			func(e *codecache.Entry) func() error { return compileInto(t, e, one) },
			func(*codecache.Entry) func() error { return fails }, "broken",
		},
		"the second is the first": {
			func(e *codecache.Entry) func() error { return compileInto(t, e, one) },
			func(e *codecache.Entry) func() error { return compileInto(t, e, one) },
			"there are 1 files after a compilation, 0 of which are new",
		},
		"two files at once": {
			func(e *codecache.Entry) func() error { return compileInto(t, e, one, two) },
			func(e *codecache.Entry) func() error { return compileInto(t, e, three) },
			"there are 2 files after a compilation, 2 of which are new",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cache, _ := open(t, newDirectory(t), 0)
			e, err := cache.Entry(t.Context(), key(name))
			require.NoError(t, err)
			defer e.Close()
			require.ErrorContains(t, fill(e, c.compile(e), c.standIn(e)), c.err)
			require.NoError(t, e.Discard())
			require.NoError(t, fill(e, compileInto(t, e, one), compileInto(t, e, two)),
				"the entry works as before")
		})
	}
}

// TestFilledRefuses simulates a compiler that does not leave exactly one file of code, as another
// process may.
func TestFilledRefuses(t *testing.T) {
	leave := func(t *testing.T, e *codecache.Entry, name string, mode os.FileMode, bytes int) {
		require.NoError(t,
			os.WriteFile(filepath.Join(e.Directory(), name), make([]byte, bytes), mode))
		require.NoError(t, os.Chmod(filepath.Join(e.Directory(), name), mode))
	}
	for name, c := range map[string]struct {
		leave func(*testing.T, *codecache.Entry)
		err   string
	}{
		"nothing": {func(*testing.T, *codecache.Entry) {}, "is empty"},
		"too much": {func(t *testing.T, e *codecache.Entry) { leave(t, e, "a", 0o600, 101) },
			"101 bytes of code are more than the cache may hold (100)"},
		"two files": {func(t *testing.T, e *codecache.Entry) {
			leave(t, e, "a", 0o600, 1)
			leave(t, e, "b", 0o600, 1)
		}, "there are 2 files of code, expected 1"},
		"for all": {func(t *testing.T, e *codecache.Entry) { leave(t, e, "a", 0o644, 1) },
			"group and others must have no access"},
		"a link": {func(t *testing.T, e *codecache.Entry) {
			require.NoError(t, os.Symlink(os.DevNull, filepath.Join(e.Directory(), "a")))
		}, "is neither a regular file nor a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			cache, _ := open(t, newDirectory(t), 100)
			e, err := cache.Entry(t.Context(), key(name))
			require.NoError(t, err)
			defer e.Close()
			c.leave(t, e)
			require.ErrorContains(t, e.Filled(), c.err)
		})
	}
}
