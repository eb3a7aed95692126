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

package engine

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// The stack that is copied for each evaluation is bounded, and the runtime keeps its size where the
// check looks for it.
func TestOnlySmallStacksArePutAside(t *testing.T) {
	abi := &ABI{
		Name:    "program",
		Command: &Command{Parked: []string{"program", "run"}},
		HostFunctions: []HostFunction{
			{Module: "host", Name: "ask", Call: func(*Instance, []uint64) {}},
			{
				Module: "host", Name: "call", Params: []ValueType{
					I32, I32, I32, I32, I32, I32, I32, I32,
				}, Results: []ValueType{I32}, Call: func(*Instance, []uint64) {},
			},
		},
	}
	e, err := New(Options{Compilation: InProcess})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	for file, waits := range map[string]bool{
		"testdata/program.wasm":                               true,
		"../../test/wat/hostile-programs/read-then-spin.wasm": true,
		"../../test/wat/hostile-programs/read-deep.wasm":      false,
	} {
		binary, err := os.ReadFile(file)
		require.NoError(t, err)
		m, err := e.Load(t.Context(), binary, abi)
		require.NoError(t, err)
		i, err := m.Acquire(t.Context(), Evaluation{})
		require.NoError(t, err)
		require.Equal(t, waits, i.parked.frames != nil, file)
		if waits {
			require.Positive(t, stackBytes(i.parked.frames))
			require.LessOrEqual(t, stackBytes(i.parked.frames), maxParkedStack)
		}
		i.Release()
		m.Close()
	}
}

// A waiting program has used part of its stack limit.
func TestResumedProgramsKeepTheirStack(t *testing.T) {
	e, err := New(Options{Compilation: InProcess})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	binary, err := os.ReadFile("testdata/program.wasm")
	require.NoError(t, err)
	m, err := e.Load(t.Context(), binary, &ABI{
		Name:    "program",
		Command: &Command{Parked: []string{"program", "run"}},
		HostFunctions: []HostFunction{{
			Module: "host", Name: "ask", Call: func(*Instance, []uint64) {},
		}},
	})
	require.NoError(t, err)
	defer m.Close()
	for range 3 {
		i, err := m.Acquire(t.Context(), Evaluation{})
		require.NoError(t, err)
		require.Less(t, int64(i.parked.left), i.meter.depth)
		require.NoError(t, i.Run("program", "run"))
		require.Equal(t, i.meter.depth, int64(i.meter.stack.Get()),
			"exactly the taken stack is given back")
		i.Release()
	}
}

// An instance's goroutine ends with the instance. If a host function ends it, another one replaces
// it.
func TestGoroutinesOfInstancesEnd(t *testing.T) {
	e, err := New(Options{Compilation: InProcess, architecture: "arm64"})
	require.NoError(t, err)
	binary, err := os.ReadFile("testdata/program.wasm")
	require.NoError(t, err)
	ends := true
	m, err := e.Load(t.Context(), binary, &ABI{
		Name: "program",
		Command: &Command{Parked: []string{"program", "run"}, Input: func(*Instance, []byte) int {
			if ends {
				runtime.Goexit()
			}
			return 0
		}},
		HostFunctions: []HostFunction{{
			Module: "host", Name: "ask", Call: func(*Instance, []uint64) {},
		}},
	})
	require.NoError(t, err)
	i, err := m.Acquire(t.Context(), Evaluation{})
	require.NoError(t, err)
	first := i.lane
	require.ErrorIs(t, i.Run("program", "run"), errLaneEnded)
	i.Release()
	ends = false
	i, err = m.Acquire(t.Context(), Evaluation{})
	require.NoError(t, err)
	last := i.lane
	require.NotSame(t, first, last)
	require.NoError(t, i.Run("program", "run"))
	i.Release()
	m.Close()
	require.NoError(t, e.Close())
	for _, l := range []*lane{first, last} {
		_, there := <-l.ended
		require.False(t, there)
	}
}
