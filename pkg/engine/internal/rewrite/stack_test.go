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
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

var errOutOfStack = errors.New("out of stack")

// limited instantiates a rewritten module whose tick ends a call that has no stack left.
func limited(t *testing.T, result *rewrite.Result, bytes int32) (api.Module, api.MutableGlobal) {
	t.Helper()
	r, ctx := newRuntime(t), context.Background()
	m := &meter{export: result.FuelExport, portion: portion, limit: 1 << 40}
	_, err := r.NewHostModuleBuilder(options.TickModule).NewFunctionBuilder().
		WithFunc(func(ctx context.Context, mod api.Module) {
			if int32(mod.ExportedGlobal(result.StackExport).Get()) < 0 {
				panic(errOutOfStack)
			}
			m.tick(ctx, mod)
		}).Export(options.TickName).Instantiate(ctx)
	require.NoError(t, err)
	mod, err := r.InstantiateWithConfig(ctx, result.Module, wazero.NewModuleConfig())
	require.NoError(t, err)
	stack := mod.ExportedGlobal(result.StackExport).(api.MutableGlobal)
	require.EqualValues(t, rewrite.MaxStackBytes, stack.Get())
	stack.Set(uint64(bytes))
	return mod, stack
}

// On every way out, a function gives its stack back, and returns the same result as without the
// rewrite.
func TestStackIsGivenBack(t *testing.T) {
	module := read(t, "ways_out")
	plain, err := newRuntime(t).Instantiate(context.Background(), module)
	require.NoError(t, err)
	result, err := rewrite.Module(module, options)
	require.NoError(t, err)
	const bytes = 1 << 20
	mod, stack := limited(t, result, bytes)
	for _, function := range []string{
		"end", "return", "branch", "nothing", "several", "tail", "tail_indirect", "entry",
	} {
		for argument := range uint64(40) {
			want, err := plain.ExportedFunction(function).Call(context.Background(), argument)
			require.NoError(t, err)
			got, err := mod.ExportedFunction(function).Call(context.Background(), argument)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s(%d)", function, argument)
			require.EqualValues(t, bytes, stack.Get(), "%s(%d)", function, argument)
		}
	}
	_, err = mod.ExportedFunction("trap").Call(context.Background(), 40)
	require.ErrorContains(t, err, "unreachable")
	require.Less(t, stack.Get(), uint64(bytes), "a trapped call gives nothing back")
}

// Recursive functions are stopped where the stack ends. Functions that do not nest continue.
func TestStackEnds(t *testing.T) {
	result, err := rewrite.Module(read(t, "ways_out"), options)
	require.NoError(t, err)
	const bytes, deep = 10_000, 200
	mod, stack := limited(t, result, bytes)
	for _, function := range []string{"end", "return", "branch", "nothing", "several", "trap"} {
		_, err := mod.ExportedFunction(function).Call(context.Background(), deep)
		require.ErrorIs(t, err, errOutOfStack, function)
		require.Negative(t, int64(stack.Get()))
		stack.Set(bytes)
	}
	for _, function := range []string{"tail", "tail_indirect"} {
		_, err := mod.ExportedFunction(function).Call(context.Background(), 1_000_000)
		require.NoError(t, err, function)
		require.EqualValues(t, bytes, stack.Get())
	}
	for bytes, enough := range map[uint64]bool{100: false, 1000: true} {
		stack.Set(bytes)
		_, err := mod.ExportedFunction("entry").Call(context.Background(), 1)
		require.Equal(t, enough, err == nil,
			"%d bytes for a function and the one that it calls: %v", bytes, err)
	}
}
