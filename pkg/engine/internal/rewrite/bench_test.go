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
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// goProgram decodes and encodes JSON, as a policy does, and exits.
const goProgram = `package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
)

func main() {
	total := 0
	expr := regexp.MustCompile("^[a-z]+-[0-9]+$")
	for i := range 300 {
		in := fmt.Sprintf("{\"metadata\":{\"name\":\"pod-%d\",\"labels\":{\"a\":\"b\",\"c\":\"d\"}},\"spec\":{\"containers\":[{\"name\":\"x\",\"image\":\"y:%d\"},{\"name\":\"z\"}]}}", i, i)
		var v map[string]any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			panic(err)
		}
		keys := make([]string, 0)
		for key := range v {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		if expr.MatchString(v["metadata"].(map[string]any)["name"].(string)) {
			total++
		}
		out, _ := json.Marshal(v)
		total += len(out) + len(strings.Join(keys, ","))
	}
	fmt.Fprintln(os.Stdout, total)
}
`

// BenchmarkRewrite measures the rewrite of a Go program of about 3 MB. For comparison, it also
// measures how long wazero takes to compile the original and the rewritten module.
func BenchmarkRewrite(b *testing.B) {
	module := buildGo(b, goProgram)
	result, err := rewrite.Module(module, options)
	require.NoError(b, err)
	b.Logf("%d bytes, rewritten %d bytes, %d charges", len(module), len(result.Module),
		result.Charges)
	b.Run("rewrite", func(b *testing.B) {
		b.SetBytes(int64(len(module)))
		b.ReportAllocs()
		for b.Loop() {
			_, err := rewrite.Module(module, options)
			require.NoError(b, err)
		}
	})
	for name, module := range map[string][]byte{
		"compile/plain":     module,
		"compile/rewritten": result.Module,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(module)))
			for b.Loop() {
				r := wazero.NewRuntimeWithConfig(context.Background(), runtimeConfig())
				_, err := r.CompileModule(context.Background(), module)
				require.NoError(b, err)
				require.NoError(b, r.Close(context.Background()))
			}
		})
	}
}

// BenchmarkMetering measures the cost of metering: for a Go program, and for a module that only
// computes.
func BenchmarkMetering(b *testing.B) {
	for _, c := range []struct {
		name        string
		module      []byte
		memoryPages uint32
	}{
		{"go", buildGo(b, goProgram), 65536},
		{"arithmetic", read(b, "arithmetic"), 4},
	} {
		o := plainOptions()
		o.MemoryMaxPages = c.memoryPages
		result, err := rewrite.Module(c.module, o)
		require.NoError(b, err)
		b.Run(c.name+"/plain", func(b *testing.B) { benchmarkRun(b, c.module, nil) })
		b.Run(c.name+"/metered", func(b *testing.B) {
			benchmarkRun(b, result.Module,
				&meter{export: result.FuelExport, portion: portion, limit: 1 << 40})
		})
	}
}

func benchmarkRun(b *testing.B, module []byte, m *meter) {
	ctx := context.Background()
	r := newRuntime(b)
	hosts(b, r, m)
	compiled, err := r.CompileModule(ctx, module)
	require.NoError(b, err)
	for b.Loop() {
		mod, err := r.InstantiateModule(ctx, compiled,
			wazero.NewModuleConfig().WithName("").WithStartFunctions())
		require.NoError(b, err)
		if f := mod.ExportedFunction("run"); f != nil {
			_, err = f.Call(ctx)
			require.NoError(b, err)
		} else {
			_, _ = mod.ExportedFunction("_start").Call(ctx)
		}
		require.NoError(b, mod.Close(ctx))
	}
}

// hosts gives a runtime WASI, and a tick if there is a meter.
func hosts(t testing.TB, r wazero.Runtime, m *meter) {
	t.Helper()
	ctx := context.Background()
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	if m == nil {
		return
	}
	_, err := r.NewHostModuleBuilder(options.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module,
			_ []uint64) {
			m.tick(ctx, mod)
		}), nil, nil).
		Export(options.TickName).Instantiate(ctx)
	require.NoError(t, err)
}
