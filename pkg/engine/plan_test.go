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

package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Describe's verdict on a module matches what happens when the module is loaded.
func TestDescribe(t *testing.T) {
	e := newEngine(t, engine.Options{Limits: engine.Limits{Timeout: 100 * time.Millisecond}})
	refused := 0
	for _, pattern := range []string{
		"testdata/*.wasm", "internal/rewrite/testdata/*.wasm", "../../test/wat/*.wasm",
	} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			binary, err := os.ReadFile(path)
			require.NoError(t, err)
			described := engine.Describe(binary, testABI, engine.Limits{})
			m, err := e.Load(t.Context(), binary, testABI)
			if err == nil {
				m.Close()
			}
			if described.Refused != nil {
				require.ErrorContains(t, err, described.Refused.Error(), path)
				refused++
				continue
			}
			var failed *engine.Error
			require.False(t, errors.As(err, &failed) && failed.Phase == engine.PhaseLoad, "%s: %v",
				path, err)
			require.NotEmpty(t, described.Compilation, path)
		}
	}
	require.Greater(t, refused, 5)
}

// Without an ABI, Describe skips the checks that need one.
func TestDescribeWithoutABI(t *testing.T) {
	require.ErrorContains(t, engine.Describe(binary(t, "unknown-import"), testABI, engine.Limits{}).
		Refused, "which the host does not provide to test guests")
	require.NoError(t, engine.Describe(binary(t, "unknown-import"), nil, engine.Limits{}).Refused)
	require.Error(t, engine.Describe([]byte("no module"), nil, engine.Limits{}).Refused)
}

// Describe uses the limits that it is given.
func TestDescribeWithLimits(t *testing.T) {
	large := (&wasm.Module{Memories: []wasm.Limits{{Min: 4096}}}).Encode()
	require.EqualError(t, engine.Describe(large, nil, engine.Limits{}).Refused,
		"limit exceeded: 268435456 bytes of linear memory at the start, at most 134217728 are allowed: raise limits.memory")
	require.NoError(t, engine.Describe(large, nil, engine.Limits{MemoryBytes: 256 << 20}).Refused)
	require.EqualError(t,
		engine.Describe(large, nil, engine.Limits{MemoryBytes: 256 << 20, ModuleBytes: 8}).Refused,
		fmt.Sprintf(
			"limit exceeded: %d bytes of module, at most 8 are allowed: raise limits.moduleSize",
			len(large)))
}
