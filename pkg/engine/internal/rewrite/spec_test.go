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

package rewrite_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// TestSpecSuiteSurvives rewrites every module of the specification's test suite. A module that
// wazero accepts must be rewritten and accepted again, with all passes and with none of the
// optional ones. A module that wazero refuses must be refused by the rewrite, or by wazero after
// the rewrite.
func TestSpecSuiteSurvives(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	defer func() { require.NoError(t, r.Close(ctx)) }()
	accepts := func(module []byte) error {
		compiled, err := r.CompileModule(ctx, module)
		if err == nil {
			err = compiled.Close(ctx)
		}
		return err
	}
	accepted, refused := 0, 0
	specModules(t, func(name string, module []byte) {
		plain := accepts(module)
		for _, o := range []rewrite.Options{options, plainOptions()} {
			result, err := rewrite.Module(module, o)
			if plain != nil {
				refused++
				if err == nil {
					require.Error(t, accepts(result.Module), "%s: refused before: %v", name, plain)
				}
				continue
			}
			accepted++
			require.NoError(t, err, name)
			require.NoError(t, accepts(result.Module), name)
		}
	})
	t.Logf("%d modules accepted before and after, %d refused before and after", accepted, refused)
	require.Greater(t, accepted, 3000)
	require.Greater(t, refused, 3000)
}

// TestValidator checks rewritten modules with WABT's validator, an independent implementation.
func TestValidator(t *testing.T) {
	validator, err := exec.LookPath("wasm-validate")
	if err != nil {
		t.Skip(
			"wasm-validate of WABT is not installed; wazero validates the same modules in the other tests")
	}
	files, err := filepath.Glob("testdata/*.wasm")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	dir := t.TempDir()
	for _, file := range files {
		module, err := os.ReadFile(file)
		require.NoError(t, err)
		result, err := rewrite.Module(module, options)
		require.NoError(t, err, file)
		output := filepath.Join(dir, filepath.Base(file))
		require.NoError(t, os.WriteFile(output, result.Module, 0o600))
		log, err := exec.Command(validator, "--enable-tail-call", output).CombinedOutput()
		require.NoError(t, err, "%s: %s", file, log)
	}
}
