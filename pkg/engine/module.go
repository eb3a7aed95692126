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
	"errors"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/pool"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// Module is compiled code with a pool of instances. It is safe for concurrent use.
//
// The engine keeps instances and resets them: after an evaluation, it restores an instance's linear
// memory and globals to a snapshot that it took when it loaded the module. Tables cannot be
// restored, so a module that can change its tables gets a new instance for each evaluation.
type Module struct {
	engine *Engine
	key    moduleKey
	digest string
	abi    *ABI
	limits Limits
	// budget and mappings belong to the engine. When one is exhausted, this module reclaims first.
	budget, mappings *memory.Budget

	// The engine's mutex guards references.
	references int

	// cancel ends the load of the module. late is closed when the load takes too long.
	cancel context.CancelCauseFunc
	late   chan struct{}

	// ready is closed once the fields below are set.
	ready     chan struct{}
	err       error
	rewritten *rewrite.Result
	runtime   wazero.Runtime
	cache     wazero.CompilationCache
	code      wazero.CompiledModule
	codeBytes uint64 // reserved for the code
	heapBytes uint64 // an instance's share of the Go heap, without its handles
	// the contents of the data segments; nil if they stay in the module
	dataImage      *memory.Image
	snapshot       *snapshot // nil if instances cannot be reset
	cold           *snapshot // a parked command's state before its start; nil without parking
	warnUnparkable sync.Once // logs once that instances cannot be parked
	sharing        sync.Once
	shared         any
	pool           *pool.Pool[*Instance]
}

// Digest returns the SHA-256 digest of the module's binary in the form that [Digest] returns.
func (m *Module) Digest() string { return m.digest }

// FreshInstances returns the reasons why every evaluation gets a new instance. An empty list means
// that the engine resets and reuses instances.
func (m *Module) FreshInstances() []string { return m.rewritten.NeedsFreshInstance }

// Shared returns a value that all callers of [Engine.Load] who got this module share. The first
// call makes it with create.
func (m *Module) Shared(create func() any) any {
	m.sharing.Do(func() { m.shared = create() })
	return m.shared
}

// Close releases the caller's reference to the module. The caller must have released all instances
// that it acquired through this reference.
func (m *Module) Close() { m.engine.release(m) }

// Acquire returns an instance for one evaluation, in the state from which every evaluation of this
// module starts. The evaluation's time starts now and includes the wait for an instance. The
// evaluation ends when ctx ends, or earlier. The caller must release the instance after the
// evaluation.
func (m *Module) Acquire(ctx context.Context, evaluation Evaluation) (*Instance, error) {
	return m.acquire(ctx, m.snapshot, evaluation)
}

// acquire returns an instance for an evaluation that starts from the given snapshot.
func (m *Module) acquire(ctx context.Context, from *snapshot,
	evaluation Evaluation) (*Instance, error) {
	timeout := evaluation.Timeout
	if timeout == 0 {
		timeout = m.limits.Timeout
	}
	start := time.Now()
	deadline := start.Add(timeout)
	i, waited, err := m.get(ctx, from, start, deadline)
	if err != nil {
		failure := m.fail(PhaseStart, hostCause(err), err)
		m.engine.recorder.CountFailure(string(failure.Phase), string(failure.Cause))
		return nil, failure
	}
	i.acquired, i.waited = start, waited
	i.begin(ctx, evaluation.State, deadline)
	if m.snapshot == nil {
		// The instance was made for this evaluation alone.
		if err := i.Burn(makingFuel(&m.rewritten.Instance)); err != nil {
			defer i.Release()
			return nil, i.failure(PhaseStart, "", err)
		}
	}
	return i, nil
}

// get takes an instance from the pool and waits if none is available. All states from which
// evaluations of the module start share one pool, which bounds their instances together. If the
// instance is in another state, get resets it to the requested one. It also returns how long this
// took, or zero if an instance was ready.
func (m *Module) get(ctx context.Context, from *snapshot, start,
	deadline time.Time) (*Instance, time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	fits := func(i *Instance) bool { return i.home == from || m.parks() }
	if i, ok := m.pool.TryGet(fits); ok {
		return i, 0, nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	i, err := m.pool.GetLike(ctx, fits)
	if err == nil && !fits(i) {
		if err = i.goTo(from, ctx.Err); err != nil {
			m.pool.Drop(i)
		}
	}
	waited := time.Since(start)
	m.engine.recorder.ObserveWait(waited)
	return i, waited, err
}

// put takes back an instance after an evaluation and returns the evaluation's usage.
func (m *Module) put(i *Instance) Usage {
	usage := i.Usage()
	i.end()
	done := time.Now()
	m.engine.recorder.ObserveEvaluation(done.Sub(i.acquired), usage.Fuel, usage.MemoryBytes)
	m.takeBack(i, done)
	usage.Reset = time.Since(done)
	return usage
}

// takeBack resets an instance after its evaluation, and returns it to the pool or drops it.
func (m *Module) takeBack(i *Instance, done time.Time) {
	if i.unusable || m.snapshot == nil || i.home.retired.Load() {
		m.pool.Drop(i)
		return
	}
	// The pool hands out the most recently returned instance first. More instances than there are
	// processors are busy at once only where guests wait for the host.
	err := i.reset(m.pool.Stats().Idle >= m.engine.loading.Size())
	i.dropGrownHandles()
	if err == nil && m.parks() && i.parked.frames == nil && !i.unparkable {
		err = i.parkAgain(context.Background())
	}
	if err == nil && i.chargeHeap() != nil {
		// The budget has no room for the heap that this instance grew. Do not reclaim the room from
		// other modules for an idle instance.
		m.pool.Drop(i)
		return
	}
	m.engine.recorder.ObserveReset(time.Since(done))
	if err != nil {
		m.engine.logger.Warn("Dropping an instance: resetting it failed", "digest", m.digest,
			"err", err)
		m.pool.Drop(i)
		return
	}
	home := i.home
	m.pool.Put(i)
	if home.retired.Load() {
		// The snapshot was retired after the check above, and that trim may have run before Put.
		m.trim(home)
	}
}

// trim destroys the idle instances that are reset to the snapshot.
func (m *Module) trim(s *snapshot) {
	m.pool.TrimLike(func(i *Instance) bool { return i.home == s })
}

// free releases what load allocated. It runs once, after the last use.
func (m *Module) free() {
	var errs []error
	if m.pool != nil {
		m.pool.Close()
	}
	errs = append(errs, m.snapshot.close(), m.cold.close())
	if err := errors.Join(errs...); err != nil {
		m.engine.logger.Warn("Freeing a module failed", "digest", m.digest, "err", err)
	}
	m.freeDataImage()
	m.freeCode()
	m.budget.Release(m.codeBytes)
}

func (m *Module) freeDataImage() {
	if m.dataImage == nil {
		return
	}
	if err := m.dataImage.Close(); err != nil {
		m.engine.logger.Warn("Freeing a module's data failed", "digest", m.digest, "err", err)
	}
	m.dataImage = nil
}

// freeCode releases the runtime and its code.
func (m *Module) freeCode() {
	var errs []error
	if m.runtime != nil {
		errs = append(errs, m.runtime.Close(context.Background()))
	}
	if m.cache != nil {
		errs = append(errs, m.cache.Close(context.Background()))
	}
	m.runtime, m.cache = nil, nil
	if err := errors.Join(errs...); err != nil {
		m.engine.logger.Warn("Freeing code failed", "digest", m.digest, "err", err)
	}
}

// fail wraps err in an [*Error], unless it already is one.
func (m *Module) fail(phase Phase, cause Cause, err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	if s := (*stop)(nil); errors.As(err, &s) {
		return &Error{Digest: m.digest, Phase: phase, Cause: s.cause, Err: err}
	}
	switch c := hostCause(err); c {
	case CauseLimit, CauseDeadline, CauseCanceled:
		cause = c
	}
	return &Error{Digest: m.digest, Phase: phase, Cause: cause, Err: err}
}

// hostCause returns the cause of an error in which no guest was involved.
func hostCause(err error) Cause {
	switch {
	case errors.As(err, new(*pool.ShedError)):
		return CauseShed
	case errors.Is(err, context.DeadlineExceeded):
		return CauseDeadline
	case errors.Is(err, context.Canceled):
		return CauseCanceled
	case errors.As(err, new(*worker.DiedError)), errors.As(err, new(*memory.LimitError)),
		errors.As(err, new(*memory.BudgetError)), errors.As(err, new(*LimitError)),
		errors.As(err, new(*weight.Error)):
		return CauseLimit
	case errors.As(err, new(*wasm.Error)), errors.As(err, new(*wasm.UnsupportedError)):
		return CauseInvalid
	}
	return CauseOther
}
