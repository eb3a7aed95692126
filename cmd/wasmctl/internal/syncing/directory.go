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

package syncing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// Servers of other users read what is written, whatever the umask is.
const (
	directoryMode = fs.FileMode(0o755)
	fileMode      = fs.FileMode(0o644)
)

// directory is a policy directory that is a symbolic link to a version. The versions lie beside it,
// so that a rename replaces one by another at one moment:
//
//	policies.d -> policies.d.versions/3f2a01…-1834
//	policies.d.versions/3f2a01…-1834/*.yaml
type directory struct {
	path string
	lock *os.File
}

// openDirectory makes the caller the only one who changes a policy directory. Close it after use.
func openDirectory(path string) (*directory, error) {
	d := &directory{path: path}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSymlink:
		return nil, fmt.Errorf(
			"policyDirectory: %s is there and is no symbolic link: move it away, so that a link to what is synced takes its place",
			path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("policyDirectory: %w", err)
	}
	if err := makeDirectory(d.versions()); err != nil {
		return nil, fmt.Errorf("policyDirectory: %w", err)
	}
	d.lock, err = safefile.Lock(filepath.Join(d.versions(), ".lock"))
	switch {
	case errors.Is(err, safefile.ErrLocked):
		return nil, fmt.Errorf("somebody else syncs %s: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("policyDirectory: %w", err)
	}
	return d, nil
}

func (d *directory) close() error { return d.lock.Close() }

func (d *directory) versions() string { return d.path + ".versions" }

// makeDirectory makes a directory that others can read, whatever the umask is.
func makeDirectory(path string) error {
	switch err := os.Mkdir(path, directoryMode); {
	case err == nil:
		return os.Chmod(path, directoryMode)
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return errors.Join(err, fmt.Errorf("%s is there and is no directory: move it away", path))
	}
	return nil
}

// current is the version that the link names, "" if there is none.
func (d *directory) current() string {
	target, err := os.Readlink(d.path)
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// holds says whether the current version is a set: with all of its files, unchanged, and no others,
// and that servers of other users can read it.
func (d *directory) holds(s *set) bool {
	entries, err := os.ReadDir(d.path)
	if err != nil || len(entries) != len(s.layers) {
		return false
	}
	for _, layer := range s.layers {
		content, err := safefile.Read(filepath.Join(d.path, nameOf(layer)), layer.Size)
		if err != nil || digest.FromBytes(content) != layer.Digest {
			return false
		}
		info, err := os.Lstat(filepath.Join(d.path, nameOf(layer)))
		if err != nil || !info.Mode().IsRegular() || !allows(info, 0o444) {
			return false
		}
	}
	info, err := os.Stat(d.path)
	return err == nil && allows(info, 0o555)
}

// allows says whether a file has all of these bits of a mode.
func allows(info fs.FileInfo, bits fs.FileMode) bool { return info.Mode().Perm()&bits == bits }

// write writes a version that nothing names yet, and returns its path.
func (d *directory) write(manifest ocispec.Descriptor, files []file) (path string, err error) {
	path, err = os.MkdirTemp(d.versions(), manifest.Digest.Encoded()[:12]+"-")
	if err != nil {
		return "", err
	}
	if err := d.fill(path, files); err != nil {
		return "", errors.Join(err, os.RemoveAll(path))
	}
	return path, nil
}

// fill writes the files of a version. They are on the disk when it returns.
func (d *directory) fill(version string, files []file) error {
	for _, f := range files {
		if err := writeFile(filepath.Join(version, f.name), f.content); err != nil {
			return err
		}
	}
	if err := os.Chmod(version, directoryMode); err != nil {
		return err
	}
	return errors.Join(safefile.SyncDirectory(version), safefile.SyncDirectory(d.versions()))
}

// writeFile writes a file that is on the disk when it returns.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close())
}

// change has the link name another version, at one moment.
func (d *directory) change(version string) error {
	link := d.path + ".new"
	switch info, err := os.Lstat(link); {
	case err == nil && info.Mode().Type() != fs.ModeSymlink:
		return fmt.Errorf("%s is there and is no symbolic link: move it away", link)
	case err == nil: // an earlier attempt has left it
		if err := os.Remove(link); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// It is relative, so that it means the same where the directory is mounted elsewhere.
	err := os.Symlink(filepath.Join(filepath.Base(d.versions()), filepath.Base(version)), link)
	if err == nil {
		err = os.Rename(link, d.path)
	}
	if err != nil {
		return err
	}
	return safefile.SyncDirectory(filepath.Dir(d.path))
}

// discard removes a version, unless the link names it: a change may fail after the rename.
func (d *directory) discard(version string) error {
	if filepath.Base(version) == d.current() {
		return nil
	}
	return os.RemoveAll(version)
}

// versionName are the names that write gives to versions.
var versionName = regexp.MustCompile(`^[0-9a-f]{12}-[0-9]+$`)

// removeBut removes all versions but these. What has no name of a version is somebody else's, and
// stays.
func (d *directory) removeBut(keep ...string) error {
	entries, err := os.ReadDir(d.versions())
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() && versionName.MatchString(name) && !slices.Contains(keep, name) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.versions(), name)))
		}
	}
	return err
}
