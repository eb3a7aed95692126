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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// features are all that the rewriter accepts.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesTypedFunctionReferences

// options enables every pass.
var options = rewrite.Options{
	TickModule: "test-admission", TickName: "tick", ExportPrefix: "test-admission/",
	MemoryMaxPages: 65536, TableMaxEntries: 10_000_000, ExtractData: true, ExportStart: true,
}

// plainOptions changes nothing that would require work by the host.
func plainOptions() rewrite.Options {
	o := options
	o.ExtractData, o.ExportStart = false, false
	return o
}

func runtimeConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithDebugInfoEnabled(false)
}

// read returns a module from testdata. Each was made from the text beside it with wat2wasm
// --debug-names --enable-tail-call.
func read(t testing.TB, name string) []byte {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	require.NoError(t, err)
	return module
}

var errOutOfFuel = errors.New("out of fuel")

// meter is the host's side of metering: it grants fuel in portions, up to a limit.
type meter struct {
	export string
	// portion is granted at each tick; limit bounds the number of ticks.
	portion, limit int64
	ticks          int64
}

// consumed is the fuel that a module has burned since its instantiation.
func (m *meter) consumed(mod api.Module) int64 {
	return m.ticks*m.portion - int64(mod.ExportedGlobal(m.export).Get())
}

func (m *meter) tick(_ context.Context, mod api.Module) {
	m.ticks++
	if m.ticks > m.limit {
		panic(errOutOfFuel)
	}
	fuel := mod.ExportedGlobal(m.export).(api.MutableGlobal)
	fuel.Set(fuel.Get() + uint64(m.portion))
}

// instantiate runs a rewritten module with a meter.
func instantiate(t testing.TB, r wazero.Runtime, result *rewrite.Result, m *meter) api.Module {
	t.Helper()
	ctx := context.Background()
	m.export = result.FuelExport
	_, err := r.NewHostModuleBuilder(options.TickModule).NewFunctionBuilder().
		WithFunc(m.tick).Export(options.TickName).Instantiate(ctx)
	require.NoError(t, err)
	mod, err := r.InstantiateWithConfig(ctx, result.Module,
		wazero.NewModuleConfig().WithStartFunctions())
	require.NoError(t, err)
	return mod
}

// newRuntime returns a runtime that is closed with the test.
func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(context.Background(), runtimeConfig())
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	return r
}

// buildGo compiles a program with the Go toolchain for WASI.
func buildGo(t testing.TB, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	output := filepath.Join(dir, "main.wasm")
	build := exec.Command("go", "build", "-o", output, file)
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	log, err := build.CombinedOutput()
	require.NoError(t, err, "%s", log)
	module, err := os.ReadFile(output)
	require.NoError(t, err)
	return module
}

// specModules calls f with every module of the core specification's test suite that is part of
// wazero, and of the proposals that the rewriter supports.
func specModules(t testing.TB, f func(name string, module []byte)) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").
		Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test",
		"spectest")
	for _, suite := range []string{
		"v1", "v2", "tail-call", "extended-const", "typed-function-references",
	} {
		files, err := filepath.Glob(filepath.Join(root, suite, "testdata", "*.wasm"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "no modules of suite %s under %s", suite, root)
		for _, file := range files {
			module, err := os.ReadFile(file)
			require.NoError(t, err)
			f(suite+"/"+filepath.Base(file), module)
		}
	}
}
