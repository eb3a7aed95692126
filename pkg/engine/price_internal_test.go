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
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// caller returns a guest that imports a function. It exports "storm", which calls the function a
// given number of times with all parameters zero; "_start", which does so ten times; and "call",
// which passes its parameters on.
func caller(name string, f HostFunction) []byte {
	text := func(s string) []byte { return append(wasm.AppendUint32(nil, uint32(len(s))), s...) }
	function := func(params, results []ValueType) []byte {
		return slices.Concat([]byte{0x60, byte(len(params))}, params, []byte{byte(len(results))},
			results)
	}
	storm := []byte{0, 3, 0x40} // loop
	passOn := []byte{0}
	for n, param := range f.Params {
		storm = append(storm, map[ValueType]byte{I32: 0x41, I64: 0x42}[param], 0)
		passOn = append(passOn, 0x20, byte(n))
	}
	storm = append(storm, 0x10, 0)
	for range f.Results {
		storm = append(storm, 0x1a)
	}
	storm = append(storm, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x0b)
	passOn = append(passOn, 0x10, 0, 0x0b)
	start := []byte{0, 0x41, 10, 0x10, 1, 0x0b}
	body := func(b []byte) []byte { return append(wasm.AppendUint32(nil, uint32(len(b))), b...) }
	return module(
		section(1,
			slices.Concat([]byte{3}, function(f.Params, f.Results), function([]ValueType{I32}, nil),
				function(nil, nil))...),
		section(2,
			slices.Concat([]byte{1}, text("wasi_snapshot_preview1"), text(name), []byte{0, 0})...),
		section(3, 3, 1, 0, 2),
		section(5, 1, 0, 1),
		section(7,
			slices.Concat([]byte{3}, text("storm"), []byte{0, 1}, text("call"), []byte{0, 2},
				text("_start"), []byte{0, 3})...),
		section(10, slices.Concat([]byte{3}, body(storm), body(passOn), body(start))...))
}

// acquireCaller returns an instance of such a guest for one evaluation.
func acquireCaller(t *testing.T, limits Limits, abi *ABI, name string, f HostFunction) *Instance {
	t.Helper()
	limits.Timeout = time.Minute
	e, err := New(Options{Limits: limits, Compilation: InProcess})
	require.NoError(t, err)
	m, err := e.Load(t.Context(), caller(name, f), abi)
	require.NoError(t, err)
	i, err := m.Acquire(t.Context(), Evaluation{})
	require.NoError(t, err)
	t.Cleanup(func() {
		i.Release()
		m.Close()
		require.NoError(t, e.Close())
	})
	return i
}

// Guests pay for each call of a function, whoever provides it, and a storm ends when the fuel runs
// out.
func TestEachHostFunctionHasItsPrice(t *testing.T) {
	const calls = 100
	abi := &ABI{Name: "price"}
	functions := abi.functions()
	require.Greater(t, len(functions), 40, "wazero's functions are included")
	for name, f := range functions {
		if name.name == "proc_exit" {
			continue // no guest calls it twice
		}
		t.Run(name.name, func(t *testing.T) {
			i := acquireCaller(t, Limits{Fuel: 2 * calls * hostCallFuel}, abi, name.name, f)
			before := i.Usage().Fuel
			_, err := i.Call("storm", calls)
			require.NoError(t, err)
			require.GreaterOrEqual(t, i.Usage().Fuel-before, int64(calls*hostCallFuel))
			_, err = i.Call("storm", 2*calls)
			require.Equal(t, CauseFuel, CauseOf(err), "%v", err)
		})
	}
}

// A program also pays for the reads at which it could wait.
func TestReadsOfProgramsThatWaitHaveTheirPrice(t *testing.T) {
	abi := &ABI{Name: "price", Command: &Command{Parked: []string{"waits"}}}
	i := acquireCaller(t, Limits{}, abi, "fd_read",
		abi.functions()[functionName{"wasi_snapshot_preview1", "fd_read"}])
	require.NoError(t, i.Run("waits"))
	require.GreaterOrEqual(t, i.Usage().Fuel, int64(10*hostCallFuel))
}

// Guests pay for a call's work by its length.
func TestLongCallsCostMore(t *testing.T) {
	const long = 32 << 10
	abi := &ABI{
		Name:    "price",
		Command: &Command{Input: func(_ *Instance, p []byte) int { return len(p) }},
	}
	functions := abi.functions()
	vector := binary.LittleEndian.AppendUint32([]byte{8, 0, 0, 0}, long) // the bytes behind it
	for _, test := range []struct {
		what, function string
		memory         []byte
		params         []uint64
		least          int64
	}{
		{"randomness", "random_get", nil, []uint64{0, long}, long * hostByteFuel},
		{"what is printed", "fd_write", vector, []uint64{1, 0, 1, 0}, long * hostByteFuel},
		{"pieces without a byte to print", "fd_write", nil, []uint64{1, 0, 1000, 0},
			1000 * hostCallFuel},
		{"what is read", "fd_read", vector, []uint64{0, 0, 1, 0}, long * hostByteFuel},
		{"pieces without a byte to read", "fd_read", nil, []uint64{0, 0, 1000, 0},
			1000 * hostCallFuel},
		{"events", "poll_oneoff", nil, []uint64{0, 0, 1000, 0},
			1000 * subscriptionSize * hostByteFuel},
	} {
		t.Run(test.what, func(t *testing.T) {
			f := functions[functionName{"wasi_snapshot_preview1", test.function}]
			for fuel, cause := range map[int64]Cause{0: "", test.least: CauseFuel} {
				i := acquireCaller(t, Limits{Fuel: fuel}, abi, test.function, f)
				require.True(t, i.Write(0, test.memory))
				errno, err := i.Call("call", test.params...)
				if require.GreaterOrEqual(t, i.Usage().Fuel, test.least); cause == "" {
					require.NoError(t, err)
					require.Zero(t, errno)
					continue
				}
				require.Equal(t, cause, CauseOf(err), "%v", err)
			}
		})
	}
}
