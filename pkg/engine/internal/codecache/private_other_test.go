//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

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
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
)

func TestOpenWithoutOwnersAndLocks(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "compiled")
	_, err := codecache.Open(directory, codecache.Options{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoDirExists(t, directory)
}
