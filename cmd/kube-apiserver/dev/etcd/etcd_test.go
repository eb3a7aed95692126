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

package etcd

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSocketPath(t *testing.T) {
	short := t.TempDir()
	path, cleanup, err := socketPath(short)
	require.NoError(t, err)
	cleanup()
	require.Equal(t, short, filepath.Dir(path))
	require.DirExists(t, short)

	t.Setenv("TMPDIR", "/tmp")
	path, cleanup, err = socketPath(strings.Repeat("/long", maxSocketPath))
	require.NoError(t, err)
	require.LessOrEqual(t, len(path), maxSocketPath)
	require.DirExists(t, filepath.Dir(path))
	cleanup()
	require.NoDirExists(t, filepath.Dir(path))
}
