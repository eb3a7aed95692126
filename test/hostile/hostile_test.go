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

// Package hostile runs modules that attack their host, and checks that no attack succeeds: each
// module is refused, or stopped for the right reason, and leaves nothing behind for later
// evaluations.
package hostile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
)

const modules = "../wat"

// Attacks that only the deadline can stop have a short deadline. All others have a long one, which
// they must not reach even on a busy machine.
const (
	short = 50 * time.Millisecond
	long  = time.Minute
)

// The guests attack only on long requests.
var (
	attacking = []byte(`{"uid":"` + strings.Repeat("x", 200) + `"}`)
	innocent  = []byte(`{}`)
	settings  = []byte(`{}`)
)

func environment(timeout time.Duration) *abi.Environment {
	return &abi.Environment{
		Timeout: timeout,
		Limits: abi.Limits{
			RequestBytes:         8 << 20,
			ResponseBytes:        8 << 20,
			HostCallPayloadBytes: 4 << 20,
			HostCalls:            1000,
			LogLineBytes:         4 << 10,
		},
	}
}

func TestEveryModuleHasAnOutcome(t *testing.T) {
	for _, pattern := range []string{"*.wat", "*.wasm"} {
		files, err := filepath.Glob(filepath.Join(modules, "hostile", pattern))
		require.NoError(t, err)
		require.Len(t, files, len(attacks))
		for _, file := range files {
			require.Contains(t, attacks,
				strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
		}
	}
}

func TestAttacks(t *testing.T) {
	t.Run("compiled", func(t *testing.T) {
		run(t, engine.Options{}, func(outcome) bool { return true })
	})
	representative := func(o outcome) bool { return o.everywhere }
	t.Run("interpreted", func(t *testing.T) {
		run(t, engine.Options{Interpreter: true}, representative)
	})
	for _, support := range enginetest.ResetSupports() {
		t.Run(string(support.Strategy), func(t *testing.T) {
			if support.Err != nil {
				t.Skipf("this system cannot reset memory so: %v", support.Err)
			}
			run(t, engine.Options{Reset: support.Strategy}, representative)
		})
	}
}

// run runs the wanted attacks. They share two engines, so that an attack would find what an earlier
// one left behind.
func run(t *testing.T, options engine.Options, wanted func(outcome) bool) {
	hurried, patient := newHost(t, options, short), newHost(t, options, long)
	for name, attack := range attacks {
		if !wanted(attack) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			wasm, err := os.ReadFile(filepath.Join(modules, "hostile", name+".wasm"))
			require.NoError(t, err)
			h := patient
			if attack.cause == engine.CauseDeadline {
				h = hurried
			}
			h.attack(t, wasm, attack)
		})
	}
}

// host is an engine with a bystander, a policy that does not attack.
type host struct {
	engine    *engine.Engine
	timeout   time.Duration
	bystander *wapc.Guest
	// memory is the bystander's memory, in bytes.
	memory uint64
}

func newHost(t *testing.T, options engine.Options, timeout time.Duration) *host {
	t.Helper()
	options.Limits.Timeout, options.Compilation = timeout, engine.InProcess
	e, err := engine.New(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	wasm, err := os.ReadFile(filepath.Join(modules, "accept.wasm"))
	require.NoError(t, err)
	bystander, err := wapc.Load(t.Context(), e, wasm)
	require.NoError(t, err)
	t.Cleanup(bystander.Close)
	h := &host{engine: e, timeout: timeout, bystander: bystander}
	h.accepts(t, bystander, innocent)
	h.memory = e.Stats().MemoryBytes
	return h
}

// accepts checks that a guest accepts a request, without a short deadline.
func (h *host) accepts(t *testing.T, guest abi.Guest, request []byte) {
	t.Helper()
	response, _, err := guest.Validate(t.Context(), environment(long), request, settings)
	require.NoError(t, err)
	require.Equal(t, &abi.ValidationResponse{Accepted: true}, response)
}

// attack loads a waPC guest, runs its attack, and checks that it left nothing behind.
func (h *host) attack(t *testing.T, wasm []byte, want outcome) {
	h.attackBy(t, loadGuest, wasm, want)
}

// load compiles a policy of any execution mode.
type load func(ctx context.Context, e *engine.Engine, wasm []byte) (abi.Guest, error)

func loadGuest(ctx context.Context, e *engine.Engine, wasm []byte) (abi.Guest, error) {
	return wapc.Load(ctx, e, wasm)
}

func (h *host) attackBy(t *testing.T, load load, wasm []byte, want outcome) {
	defer func() {
		// It may be less, because the bystander keeps its stacks for a few evaluations only.
		require.LessOrEqual(t, h.engine.Stats().MemoryBytes, h.memory, "memory is not released")
		h.accepts(t, h.bystander, attacking)
	}()
	guest, err := load(t.Context(), h.engine, wasm)
	if want.refused != "" {
		require.ErrorContains(t, err, want.refused)
		require.NotContains(t, err.Error(), "panicked")
		require.Contains(t, err.Error(), engine.Digest(wasm))
		if want.cause != "" {
			require.Equal(t, want.cause, engine.CauseOf(err))
		}
		return
	}
	require.NoError(t, err)
	defer guest.Close()
	loaded := h.engine.Stats().MemoryBytes
	// Attack twice, because the second attack may find what the first one left behind.
	for range 2 {
		h.validate(t, guest, attacking, want)
		require.Less(t, h.engine.Stats().MemoryBytes, loaded+kept+want.keeps,
			"grown memory is not released")
		h.accepts(t, h.bystander, attacking)
	}
	if want.always {
		h.validate(t, guest, innocent, want)
	} else {
		h.accepts(t, guest, innocent)
	}
}

// kept is an upper bound for the written memory that an instance keeps mapped for its next
// evaluation. It is far less than the attacks take.
const kept = 2 << 20

func (h *host) validate(t *testing.T, guest abi.Guest, request []byte, want outcome) {
	t.Helper()
	if want.text == "" {
		h.accepts(t, guest, request)
		return
	}
	response, _, err := guest.Validate(t.Context(), environment(h.timeout), request, settings)
	require.Nil(t, response)
	require.ErrorContains(t, err, want.text)
	if want.cause != "" {
		require.Equal(t, want.cause, engine.CauseOf(err))
	}
}
