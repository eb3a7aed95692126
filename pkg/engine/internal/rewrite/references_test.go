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
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// untyped are the features of an engine without typed function references.
const untyped = features &^ experimental.CoreFeaturesTypedFunctionReferences

func lowering() rewrite.Options {
	o := options
	o.LowerReferences = true
	return o
}

// TestLoweredReferences runs a module that uses the whole proposal, on an engine without it.
func TestLoweredReferences(t *testing.T) {
	ctx := context.Background()
	module := read(t, "typed/references")
	result, err := rewrite.Module(module, lowering())
	require.NoError(t, err)
	require.Empty(t, result.NeedsFreshInstance, "the table for calls does not need a reset")
	for name, config := range map[string]wazero.RuntimeConfig{
		"compiled":    wazero.NewRuntimeConfigCompiler(),
		"interpreted": wazero.NewRuntimeConfigInterpreter(),
	} {
		t.Run(name, func(t *testing.T) {
			r := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(untyped))
			defer func() { require.NoError(t, r.Close(ctx)) }()
			_, err := r.CompileModule(ctx, module)
			require.Error(t, err, "the engine has the proposal")
			mod := instantiate(t, r, result, &meter{portion: portion, limit: 1000})
			for _, c := range []struct {
				function string
				param    uint64
				want     uint64
				trap     string
			}{
				{"apply", 5, 25, ""},
				{"tail", 5, 10, ""},
				{"nested", 5, 100, ""},
				{"from_table", 1, 81, ""},
				{"from_table", 0, 0, "invalid table access"},
				{"as_non_null", 1, 14, ""},
				{"as_non_null", 0, 0, "unreachable"},
				{"on_null", 1, 14, ""},
				{"on_null", 0, 0xffffffff, ""},
				{"on_non_null", 1, 14, ""},
				{"on_non_null", 0, 0xffffffff, ""},
			} {
				got, err := mod.ExportedFunction(c.function).Call(ctx, c.param)
				if c.trap != "" {
					require.ErrorContains(t, err, c.trap, c.function)
					continue
				}
				require.NoError(t, err, c.function)
				require.Equal(t, c.want, got[0], "%s of %d", c.function, c.param)
			}
		})
	}
}

// TestSpecSuiteLowers lowers every module of the specification's test suite. If an engine with
// typed function references accepts a module, one without must accept the lowered module.
func TestSpecSuiteLowers(t *testing.T) {
	ctx := context.Background()
	with := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	defer func() { require.NoError(t, with.Close(ctx)) }()
	without := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(untyped))
	defer func() { require.NoError(t, without.Close(ctx)) }()
	accepts := func(r wazero.Runtime, module []byte) error {
		compiled, err := r.CompileModule(ctx, module)
		if err == nil {
			err = compiled.Close(ctx)
		}
		return err
	}
	lowered, unsupported := 0, 0
	specModules(t, func(name string, module []byte) {
		if accepts(with, module) != nil {
			return
		}
		result, err := rewrite.Module(module, lowering())
		if errors.As(err, new(*wasm.UnsupportedError)) {
			require.ErrorContains(t, err, "initializer of table", name)
			unsupported++
			return
		}
		require.NoError(t, err, name)
		err = accepts(without, result.Module)
		if err != nil && strings.Contains(err.Error(), "expected funcref, but was externref") {
			unsupported++
			return
		}
		require.NoError(t, err, name)
		if accepts(without, module) != nil {
			lowered++
		}
	})
	t.Logf("%d modules lowered, %d not supported", lowered, unsupported)
	require.Greater(t, lowered, 10)
	require.LessOrEqual(t, unsupported, 19)
}

// FuzzLower lowers modules. If an engine with typed function references accepts a module, one
// without must accept the lowered module, except for what is known not to be supported.
func FuzzLower(f *testing.F) {
	f.Add(read(f, "typed/references"))
	f.Add(read(f, "reader"))
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, module []byte) {
		o := fuzzOptions()
		o.LowerReferences, o.Park = true, parking().Park
		result, err := rewrite.Module(module, o)
		if err != nil || !compiles(t, module) || customSection(t, module) {
			return
		}
		r := wazero.NewRuntimeWithConfig(ctx,
			wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(untyped).WithMemoryLimitPages(64))
		defer func() { require.NoError(t, r.Close(ctx)) }()
		if _, err := r.CompileModule(ctx, result.Module); err != nil {
			require.ErrorContains(t, err, "externref")
		}
	})
}

// TestTheTableForCallsIsNobodyElses checks that an invalid table index stays invalid.
func TestTheTableForCallsIsNobodyElses(t *testing.T) {
	m, err := wasm.Decode(read(t, "typed/references"))
	require.NoError(t, err)
	m.Bodies[0].Code = append([]byte{
		byte(wasm.OpI32Const),
		0,
		byte(wasm.OpTableGet),
		1,
		byte(wasm.OpDrop),
	}, m.Bodies[0].Code...)
	_, err = rewrite.Module(m.Encode(), lowering())
	require.ErrorContains(t, err, "unknown table 1, expected an index below 1")
}
