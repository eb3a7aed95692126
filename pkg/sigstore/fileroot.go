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
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// FileRoot holds a trust root from a file that may change. It is safe for concurrent use, except
// for [FileRoot.Refresh].
type FileRoot struct {
	path     string
	recorder verification.RootRecorder
	now      func() time.Time
	current  atomic.Pointer[Root]
	hash     string // of the file that current comes from
}

// OpenFileRoot reads a trust root. The error says why it cannot be used. A nil recorder discards
// metrics.
func OpenFileRoot(path string, recorder verification.RootRecorder) (*FileRoot, error) {
	f := &FileRoot{path: path, recorder: recorder, now: time.Now}
	if _, err := f.Refresh(); err != nil {
		return nil, err
	}
	return f, nil
}

// Current returns the trust root in use. It is never nil.
func (f *FileRoot) Current() *Root { return f.current.Load() }

// Refresh implements [verification.Refresher]. It also fails if the root in use has expired.
func (f *FileRoot) Refresh() (hash string, err error) {
	content, err := safefile.Read(f.path, MaxRootBytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	hash = hex.EncodeToString(sum[:])
	if hash == f.hash {
		err = f.Current().Usable(f.now())
	} else {
		err = f.use(content, hash)
	}
	if err != nil {
		return hash, fmt.Errorf("%s: %w", f.path, err)
	}
	return hash, nil
}

// use replaces the root in use.
func (f *FileRoot) use(content []byte, hash string) error {
	root, err := ParseRoot(content, f.now())
	if err != nil {
		return err
	}
	f.current.Store(root)
	f.hash = hash
	if info, err := os.Stat(f.path); err == nil && f.recorder != nil {
		f.recorder.SetTrustRoot(string(verification.RootFile), info.ModTime())
	}
	return nil
}

// fileChecker verifies against the trust root in a file.
type fileChecker struct {
	*Checker
	*FileRoot
}

var _ verification.Refresher = fileChecker{}
