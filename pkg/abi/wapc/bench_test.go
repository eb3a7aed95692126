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

package wapc

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// BenchmarkLargeAnswer measures the cost of passing a list of 10,000 pods to a guest. It also
// measures how long garbage collections wait meanwhile for the whole process to stop.
func BenchmarkLargeAnswer(b *testing.B) {
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "test", "wat", "list-resources.wasm"))
	require.NoError(b, err)
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Close()) })
	guest, err := Load(b.Context(), e, wasm)
	require.NoError(b, err)
	b.Cleanup(guest.Close)
	h := &host{answer: make([]byte, 17<<20)}
	env := h.environment()
	env.Limits = abi.Limits{
		RequestBytes:         1 << 10,
		ResponseBytes:        1 << 10,
		HostCallPayloadBytes: 64 << 20,
		HostCalls:            1,
	}
	b.SetBytes(int64(len(h.answer)))
	ctx, cancel := context.WithCancel(b.Context())
	collected := make(chan struct{})
	before := figure.ReadWaits()
	go func() {
		defer close(collected)
		for ctx.Err() == nil {
			runtime.GC()
		}
	}()
	for b.Loop() {
		response, _, err := guest.Validate(b.Context(), env, []byte("{}"),
			[]byte(`{"then":"read"}`))
		require.NoError(b, err)
		require.True(b, response.Accepted)
	}
	cancel()
	<-collected
	var waits figure.Waits
	waits.Add(before, figure.ReadWaits())
	b.ReportMetric(1e6*waits.Quantile(0.99), "p99-stopping-µs")
}
