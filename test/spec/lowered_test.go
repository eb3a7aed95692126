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

package spec

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// TestLoweredReferences runs the suite for typed function references on an engine that does not
// support them, with the references lowered, and compares the results with the expected ones.
func TestLoweredReferences(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").
		Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test",
		"spectest")
	spectest, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	require.NoError(t, err)
	scripts, err :=
		filepath.Glob(filepath.Join(root, "typed-function-references", "testdata", "*.json"))
	require.NoError(t, err)
	returned, trapped, left := 0, 0, 0
	for _, path := range scripts {
		f, err := runLowered(t.Context(), path, spectest)
		require.NoError(t, err)
		require.Empty(t, f.failures, path)
		returned, trapped, left = returned+f.passed, trapped+f.trapped, left+f.left
	}
	t.Logf("%d results and %d traps as expected, %d modules not supported", returned, trapped, left)
	require.Greater(t, returned, 100)
	require.Greater(t, trapped, 10)
	require.LessOrEqual(t, left, 20)
}

type loweredFigures struct {
	figures
	trapped, left int
}

// runLowered runs one script in a store of lowered modules.
func runLowered(ctx context.Context, path string, spectest []byte) (f loweredFigures, err error) {
	s, err := readScript(path)
	if err != nil {
		return f, err
	}
	const untyped = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
		experimental.CoreFeaturesExtendedConst
	r := &runner{dir: filepath.Dir(path), figures: &f.figures}
	// Both stores are equal, because the expected results come from the script.
	for _, modules := range []**store{&r.plain, &r.rewritten} {
		if *modules, err = newStore(ctx, untyped, spectest, lowered); err != nil {
			return f, err
		}
		defer func() { _ = (*modules).runtime.Close(ctx) }()
	}
	modules := r.rewritten
	for i := range s.Commands {
		c := &s.Commands[i]
		switch c.Type {
		case "module":
			if err := r.module(ctx, c, registeredAs(s.Commands[i:])); err != nil {
				r.plain.last, modules.last = nil, nil
				f.left++
			}
		case "assert_uninstantiable", "assert_unlinkable":
			// Other modules see what such a module did before it failed.
			module, err := r.read(c)
			if err != nil {
				return f, err
			}
			_, _ = r.plain.instantiate(ctx, module, "")
			_, _ = modules.instantiate(ctx, module, "")
		case "assert_return", "action":
			if mod, err := modules.module(c.Action.Module); err != nil || mod == nil {
				continue
			}
			if err := r.returns(ctx, c); err != nil {
				f.failures = append(f.failures, err.Error())
			} else {
				f.passed++
			}
		case "assert_trap":
			if mod, err := modules.module(c.Action.Module); err != nil || mod == nil {
				continue
			}
			if err := r.traps(ctx, c); err != nil {
				f.failures = append(f.failures, err.Error())
			} else {
				f.trapped++
			}
		}
	}
	return f, nil
}

func lowered(module []byte) ([]byte, error) {
	o := options
	o.LowerReferences = true
	return rewrittenWith(module, o)
}
