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

package wasi

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// BenchmarkValidate compares the ways to run a policy that is a Go program: in a new instance, in
// an instance that is reset to before its start, and in an instance that is parked where it reads
// its input.
func BenchmarkValidate(b *testing.B) {
	plain := buildGo(b, policies, "./inherit-owner")
	optimized, err := os.ReadFile(filepath.Join(policies, "inherit-owner", "optimized.wasm"))
	require.NoError(b, err)
	request, err :=
		os.ReadFile(filepath.Join(policies, "inherit-owner", "testdata", "pod-create-owned.json"))
	require.NoError(b, err)
	fromStart := *convention
	command := *convention.Command
	command.Parked = nil
	fromStart.Command = &command
	for _, way := range []struct {
		name string
		wasm []byte
		abi  *engine.ABI
	}{
		{"fresh", changingTables(b, plain), &fromStart},
		{"reset", plain, &fromStart},
		{"parked", plain, convention},
		{"parked, optimized", optimized, convention},
	} {
		b.Run(way.name, func(b *testing.B) {
			e, err := engine.New(engine.Options{Compilation: engine.InProcess})
			require.NoError(b, err)
			defer func() { require.NoError(b, e.Close()) }()
			module, err := e.Load(b.Context(), way.wasm, way.abi)
			require.NoError(b, err)
			guest := &Guest{module: module}
			defer guest.Close()
			require.Equal(b, way.name == "fresh", len(module.FreshInstances()) > 0)
			var c cluster
			env := c.environment()
			b.ReportAllocs()
			var fuel int64
			for b.Loop() {
				response, usage, err := guest.Validate(b.Context(), env, request,
					[]byte(`{"label":"owner"}`))
				if err != nil || !response.Accepted {
					b.Fatal(response, err)
				}
				fuel = usage.Fuel
			}
			b.ReportMetric(float64(fuel), "fuel/op")
		})
	}
}

// changingTables adds a function that modifies a table. Such modules need a new instance for each
// evaluation.
func changingTables(b *testing.B, binary []byte) []byte {
	m, err := wasm.Decode(binary)
	require.NoError(b, err)
	m.Types = append(m.Types, wasm.FuncType{})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Bodies = append(m.Bodies, wasm.Body{Code: []byte{
		byte(wasm.OpI32Const), 0, byte(wasm.OpRefNull), wasm.FuncRef, byte(wasm.OpTableSet), 0,
		byte(wasm.OpEnd),
	}})
	return m.Encode()
}
