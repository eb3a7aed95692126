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
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const policies = "../../../test/policies"

// startFuel is less fuel than a Go program burns before it reads its input.
const startFuel = 2_000_000

// buildGo builds a program with the Go toolchain.
func buildGo(t testing.TB, directory, pkg string) []byte {
	t.Helper()
	output := filepath.Join(t.TempDir(), "policy.wasm")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o",
		output, pkg)
	build.Dir = directory
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	log, err := build.CombinedOutput()
	require.NoError(t, err, "%s", log)
	wasm, err := os.ReadFile(output)
	require.NoError(t, err)
	return wasm
}

// cluster answers host calls with the namespaces shop and attic.
type cluster struct {
	mu    sync.Mutex
	lines []string
}

func (c *cluster) Call(_ context.Context, call abi.HostCall) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, call.Namespace+"/"+call.Operation+" "+string(call.Payload))
	switch {
	case call.Operation != "get_resource":
		return nil, nil
	case bytes.Contains(call.Payload, []byte(`"shop"`)):
		return []byte(`{"kind":"Namespace","metadata":{"labels":{"owner":"team-a"}}}`), nil
	case bytes.Contains(call.Payload, []byte(`"attic"`)):
		return []byte(`{"kind":"Namespace","metadata":{}}`), nil
	}
	return nil, errors.New("no such namespace")
}

func (c *cluster) Line(_ context.Context, source, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, source+": "+text)
}

func (c *cluster) environment() *abi.Environment {
	return &abi.Environment{Capabilities: c, Log: c, Timeout: time.Minute, Limits: abi.Limits{
		RequestBytes: 1 << 20, ResponseBytes: 1 << 20, HostCallPayloadBytes: 1 << 20, HostCalls: 10,
		LogLineBytes: 1000,
	}}
}

// An optimized policy behaves like the original. The optimizer that published Go policies have gone
// through introduces function references.
func TestOptimizedPoliciesAnswerAlike(t *testing.T) {
	optimized, err := os.ReadFile(filepath.Join(policies, "inherit-owner", "optimized.wasm"))
	require.NoError(t, err)
	metadata, err := abi.ReadMetadata(optimized)
	require.NoError(t, err)
	require.Equal(t, abi.ExecutionModeWASI, metadata.ExecutionMode)

	var guests []*Guest
	for _, wasm := range [][]byte{buildGo(t, policies, "./inherit-owner"), optimized} {
		guest := load(t, engine.Options{Limits: engine.Limits{Instances: 1}}, wasm)
		require.Empty(t, guest.module.FreshInstances())
		var c cluster
		_, usage, err := guest.Validate(t.Context(), c.environment(), []byte(`{}`),
			[]byte(`{"label":"owner"}`))
		require.NoError(t, err)
		require.Less(t, usage.Fuel, int64(startFuel), "the program waits where it reads")
		guests = append(guests, guest)
	}
	requests, err := filepath.Glob(filepath.Join(policies, "inherit-owner", "testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, requests)
	accepted, mutated, failed := 0, 0, 0
	for range 3 {
		for _, file := range requests {
			request, err := os.ReadFile(file)
			require.NoError(t, err)
			var plain, same cluster
			want, _, wantErr := guests[0].Validate(t.Context(), plain.environment(), request,
				[]byte(`{"label":"owner"}`))
			got, _, gotErr := guests[1].Validate(t.Context(), same.environment(), request,
				[]byte(`{"label":"owner"}`))
			require.Equal(t, want, got, file)
			require.Equal(t, plain.lines, same.lines, file)
			if wantErr != nil {
				failed++
				require.EqualError(t, gotErr, wantErr.Error())
				require.EqualError(t, wantErr, "looking up namespace gone: no such namespace")
				continue
			}
			require.NoError(t, gotErr)
			if got.Accepted {
				accepted++
			}
			if got.MutatedObject != nil {
				mutated++
				require.True(t, json.Valid(got.MutatedObject))
				require.Len(t, same.lines, 3) // look-up, trace, standard error
			}
		}
	}
	require.Positive(t, failed)
	require.Positive(t, mutated)
	require.Greater(t, accepted, mutated)

	for settings, valid := range map[string]bool{`{"label":"owner"}`: true, `{}`: false} {
		for _, guest := range guests {
			var c cluster
			response, err := guest.ValidateSettings(t.Context(), c.environment(), []byte(settings))
			require.NoError(t, err)
			require.Equal(t, valid, response.Valid)
		}
	}
}

// A Go program finds the same state in each run, however the previous run ended.
func TestGoProgramsKeepNothing(t *testing.T) {
	const fresh = "0 1.5 fresh 1 0 0"
	// A loop in a large function burns much fuel. A smaller budget would run out before the
	// deadline.
	guest := load(t, engine.Options{
		Limits: engine.Limits{Instances: 1, MemoryBytes: 32 << 20, Fuel: 1 << 50},
	}, buildGo(t, ".", "./testdata/keeper"))
	var fuel int64
	for range 2 {
		for input, want := range map[string]struct {
			cause engine.Cause
			text  string
		}{
			"success": {},
			"exit":    {engine.CauseExit, "call of _start: guest exited with status 1"},
			"panic":   {engine.CauseExit, "panic: on purpose"},
			"spin":    {engine.CauseDeadline, "execution deadline exceeded"},
			"grow":    {engine.CauseExit, "out of memory"},
		} {
			for _, operation := range []string{operationValidate, operationValidateSettings} {
				var c cluster
				env := c.environment()
				if want.cause == engine.CauseDeadline {
					env.Timeout = 200 * time.Millisecond
				}
				got, _, err := guest.run(t.Context(), env, operation, []byte(input))
				if want.text == "" {
					require.NoError(t, err)
					require.Equal(t, fresh, string(got))
				} else {
					require.ErrorContains(t, err, want.text)
					require.Equal(t, want.cause, engine.CauseOf(err))
				}
				got, usage, err := guest.run(t.Context(), c.environment(), operationValidate,
					[]byte("success"))
				require.NoError(t, err)
				require.Equal(t, fresh, string(got), "after %s", input)
				if fuel == 0 {
					fuel = usage.Fuel
				}
				require.Equal(t, fuel, usage.Fuel, "after %s", strings.ToUpper(input))
			}
		}
	}
}
