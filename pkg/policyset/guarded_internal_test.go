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

package policyset

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
)

// idle answers at once, so that only the guard is measured, or panics.
type idle struct {
	response *abi.ValidationResponse
	panics   any
}

func (i *idle) evaluate(context.Context, []byte) (*abi.ValidationResponse, abi.Usage, error) {
	if i.panics != nil {
		panic(i.panics)
	}
	return i.response, abi.Usage{}, nil
}

func (i *idle) validateSettings(context.Context) error { return nil }

func (i *idle) close() {}

func newIdle() (*guarded, *idle) {
	i := &idle{response: &abi.ValidationResponse{}}
	return &guarded{evaluator: i, recorder: discard{}, limit: 500,
		breaker: breaker.New(breaker.Options{Failures: 2, ProbeInterval: time.Hour})}, i
}

// Every evaluation passes through the guard.
func TestGuardDoesNotAllocate(t *testing.T) {
	g, _ := newIdle()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _, _ = g.evaluate(t.Context(), nil)
	}))
}

// A panic, from which the dispatcher recovers, frees its place and counts as a failure.
func TestGuardSurvivesPanics(t *testing.T) {
	g, i := newIdle()
	i.panics = "why not"
	for range 2 {
		require.Panics(t, func() { _, _, _ = g.evaluate(t.Context(), nil) })
	}
	require.Zero(t, g.busy.Load())
	require.True(t, g.breaker.Open())
	_, _, err := g.evaluate(t.Context(), nil)
	var open *breaker.OpenError
	require.ErrorAs(t, err, &open)
	require.Equal(t, errPanicked, open.Last)
	require.Zero(t, g.busy.Load())
}

func BenchmarkGuard(b *testing.B) {
	g, _ := newIdle()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = g.evaluate(ctx, nil)
	}
}
