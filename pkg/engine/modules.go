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
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/pool"
)

// Digest returns the SHA-256 digest of a module's binary as errors, logs, and configurations show
// it: "sha256:" and 64 hexadecimal digits.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Load compiles a module for guests of an ABI, or returns the module if it is already loaded. The
// caller must call [Module.Close] after each successful Load. Load is safe for concurrent use: two
// concurrent loads of the same module compile it once.
//
// Load returns when ctx ends, or when the module is not loaded within [Limits.LoadTimeout] of its
// turn. The work stops when no caller waits for it anymore. However, a compilation in this process
// continues in the background until it ends.
func (e *Engine) Load(ctx context.Context, wasm []byte, abi *ABI) (*Module, error) {
	sum := sha256.Sum256(wasm)
	key := moduleKey{digest: sum, abi: abi}
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if err := e.limits.checkModule(wasm); err != nil {
		return nil, &Error{Digest: digest, Phase: PhaseLoad, Cause: CauseLimit, Err: err}
	}

	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errClosed
	}
	m, found := e.modules[key]
	if !found {
		m = &Module{
			engine: e,
			key:    key,
			digest: digest,
			abi:    abi,
			limits: e.limits,
			ready:  make(chan struct{}),
			late:   make(chan struct{}),
		}
		m.budget = e.budget.For(func(n uint64) bool { return e.reclaim(m, e.budget, n) })
		m.mappings = e.mappings.For(func(n uint64) bool { return e.reclaim(m, e.mappings, n) })
		e.modules[key] = m
		// Other callers may still wait for the module when this one gives up.
		var loading context.Context
		loading, m.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		e.loads.Go(func() { e.load(loading, m, wasm) })
	}
	m.references++
	e.mu.Unlock()

	var err error
	select {
	case <-m.ready:
		err = m.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-m.late:
		err = m.fail(PhaseLoad, CauseDeadline, e.errLate())
	}
	if err != nil {
		e.release(m)
		return nil, err
	}
	return m, nil
}

// load loads a module, and frees it if no caller waits for it anymore.
func (e *Engine) load(ctx context.Context, m *Module, wasm []byte) {
	defer m.cancel(nil)
	if m.err = m.load(ctx, wasm); m.err != nil && ctx.Err() != nil {
		// Report the cancellation, whatever error it caused.
		m.err = m.fail(PhaseLoad, CauseCanceled, context.Cause(ctx))
	}
	e.mu.Lock()
	close(m.ready)
	abandoned := m.references == 0
	e.mu.Unlock()
	if abandoned {
		m.free()
	}
}

func (e *Engine) errLate() error {
	return fmt.Errorf("module was not loaded within %v (compilation.timeout): %w",
		e.limits.LoadTimeout, context.DeadlineExceeded)
}

// pools returns the pools of all loaded modules.
func (e *Engine) pools() (pools []*pool.Pool[*Instance]) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.modules {
		select {
		case <-m.ready:
			if m.err == nil {
				pools = append(pools, m.pool)
			}
		default:
		}
	}
	return pools
}

// retain adds a reference to a module. The caller must already hold one.
func (e *Engine) retain(m *Module) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.references++
}

// release drops a reference to a module, and frees the module with its last reference.
func (e *Engine) release(m *Module) {
	e.mu.Lock()
	m.references--
	loaded := false
	if m.references == 0 && e.modules[m.key] == m {
		delete(e.modules, m.key)
		select {
		case <-m.ready:
			loaded = true
		default:
			m.cancel(context.Canceled) // load frees it
		}
	}
	e.mu.Unlock()
	if loaded {
		m.free()
	}
}
