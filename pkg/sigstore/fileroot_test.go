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

package sigstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// rootNotes records the notifications of a trust root's holder.
type rootNotes struct {
	source string
	since  time.Time
}

func (n *rootNotes) SetTrustRoot(source string, since time.Time) {
	n.source, n.since = source, since
}

// An unusable root is refused at the start. Later, the previous root stays in use.
func TestFileRootsAreRefused(t *testing.T) {
	f := newForge(t)
	whole, path := f.parts().json(t), filepath.Join(t.TempDir(), "root.json")
	without := f.parts()
	without.authorities = nil
	later := func() time.Time { return time.Now().Add(90 * time.Minute) }
	for _, c := range []struct {
		name, err string
		now       func() time.Time
		put       func() error
	}{
		{"expired", "is expired: its last certificate authority was valid until ", later,
			func() error { return os.WriteFile(path, append(whole, ' '), 0o600) }},
		{"empty", "the trust root is empty", time.Now, func() error {
			return os.WriteFile(path, nil, 0o600)
		}},
		{"without authorities", "has no certificate authority", time.Now, func() error {
			return os.WriteFile(path, without.json(t), 0o600)
		}},
		{"of another kind", "has media type", time.Now, func() error {
			return os.WriteFile(path, []byte("{}"), 0o600)
		}},
		{"no JSON", "is not JSON", time.Now, func() error {
			return os.WriteFile(path, whole[1:], 0o600)
		}},
		{"too large", "at most", time.Now, func() error {
			return os.WriteFile(path, make([]byte, MaxRootBytes+1), 0o600)
		}},
		{"written by others", "must not be able to write it", time.Now, func() error { return os.Chmod(path, 0o622) }}, //nolint:gosec // that is the test
		{"gone", "no such file", time.Now, func() error { return os.Remove(path) }},
		{"a directory", "is not a regular file", time.Now, func() error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, os.RemoveAll(path))
			require.NoError(t, os.WriteFile(path, whole, 0o600))
			root, err := OpenFileRoot(path, nil)
			require.NoError(t, err)
			before, use := root.Current(), root.now
			root.now = c.now
			require.NoError(t, c.put())
			for range 2 {
				_, err = root.Refresh()
				require.ErrorContains(t, err, c.err)
				require.ErrorContains(t, err, path)
				require.Same(t, before, root.Current(), "the one before stays")
			}
			fresh := &FileRoot{path: path, now: c.now}
			_, err = fresh.Refresh()
			require.ErrorContains(t, err, c.err, "a start")

			root.now = use
			require.NoError(t, os.RemoveAll(path))
			require.NoError(t, os.WriteFile(path, whole, 0o600))
			_, err = root.Refresh()
			require.NoError(t, err)
		})
	}
}

// The root in use is checked as well, because a restart would refuse an expired one.
func TestARootInUseExpires(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.json")
	require.NoError(t, os.WriteFile(path, newForge(t).parts().json(t), 0o600))
	root, err := OpenFileRoot(path, nil)
	require.NoError(t, err)
	root.now = func() time.Time { return time.Now().Add(90 * time.Minute) }
	hash, err := root.Refresh()
	require.ErrorContains(t, err, "is expired")
	require.Equal(t, root.hash, hash)
}

func TestFileRootsAreTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.json")
	write := func() {
		require.NoError(t, os.WriteFile(path, newForge(t).parts().json(t), 0o600))
	}
	write()
	notes, written := &rootNotes{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.Chtimes(path, written, written))
	config := &wasmadmission.WasmAdmissionConfiguration{
		Verification: &wasmadmission.Verification{TrustRoot: wasmadmission.TrustRoot{File: path}},
	}
	checker, err := ForConfiguration(t.Context(), config, verification.RootOptions{Recorder: notes})
	require.NoError(t, err)
	require.Equal(t, "file", notes.source)
	require.True(t, notes.since.Equal(written))
	root, hash := checker.TrustRoot(), ""
	for range 2 {
		again, err := checker.(verification.Refresher).Refresh()
		require.NoError(t, err)
		require.Equal(t, root, checker.TrustRoot())
		require.True(t, hash == "" || hash == again)
		hash = again
	}
	write()
	changed, err := checker.(verification.Refresher).Refresh()
	require.NoError(t, err)
	require.NotEqual(t, hash, changed)
	require.NotEqual(t, root, checker.TrustRoot())
	require.True(t, notes.since.After(written))
}
