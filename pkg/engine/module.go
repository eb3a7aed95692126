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

// Module is compiled code with a pool of instances. It is safe for concurrent
// use.
//
// Instances are kept and reset: after an evaluation, an instance's linear memory
// and globals are brought back to a snapshot that was taken when the module was
// loaded. A module that can change what cannot be brought back, its tables, gets
// a new instance for each evaluation.
type Module struct {
	engine *Engine
	key    moduleKey
	digest string
	abi    *ABI
	limits Limits
	// budget and mappings are the engine's: when they are short, this module gives up first.
	budget, mappings *memory.Budget

	// references is guarded by the engine's mutex.
	references int

	// cancel ends the loading of the module; late is closed when it takes too long.
	cancel context.CancelCauseFunc
	late   chan struct{}

	// ready is closed once the fields below are set.
	ready     chan struct{}
	err       error
	rewritten *rewrite.Result
	runtime   wazero.Runtime
	cache     wazero.CompilationCache
	code      wazero.CompiledModule
	codeBytes uint64        // what is reserved for the code
	heapBytes uint64        // what an instance takes of the Go heap, without its handles
	dataImage *memory.Image // what the data segments hold, nil if they were left in the module
	snapshot  *snapshot     // nil if instances cannot be reset
	cold      *snapshot     // of a command that is parked, before its start; else nil
	astray    sync.Once     // tells the log that instances cannot be parked
	sharing   sync.Once
	shared    any
	pool      *pool.Pool[*Instance]
}

// Digest returns the SHA-256 of the module's binary as [Digest] does.
func (m *Module) Digest() string { return m.digest }

// FreshInstances says why every evaluation gets a new instance, a reason each.
// Empty means that instances are reset and used again.
func (m *Module) FreshInstances() []string { return m.rewritten.NeedsFreshInstance }

// Shared returns what all callers of [Engine.Load] who got this module share beside it,
// which is what the first one's create returns.
func (m *Module) Shared(create func() any) any {
	m.sharing.Do(func() { m.shared = create() })
	return m.shared
}

// Close gives the module back. The caller must have released all instances that
// it acquired through this reference.
func (m *Module) Close() { m.engine.release(m) }

// Acquire returns an instance for one evaluation, in the state that every
// evaluation of this module starts from. The evaluation's time starts now: it
// includes waiting for an instance. It ends with ctx at the latest. The caller
// releases the instance when the evaluation is over.
func (m *Module) Acquire(ctx context.Context, evaluation Evaluation) (*Instance, error) {
	return m.acquire(ctx, m.snapshot, evaluation)
}

// acquire returns an instance for an evaluation that starts from a snapshot.
func (m *Module) acquire(ctx context.Context, from *snapshot, evaluation Evaluation) (*Instance, error) {
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
		// It was made for this evaluation alone.
		if err := i.Burn(makingFuel(&m.rewritten.Instance)); err != nil {
			defer i.Release()
			return nil, i.failure(PhaseStart, "", err)
		}
	}
	return i, nil
}

// get takes an instance from the pool, and waits for one if there is none. The pool is
// that of all states that evaluations of the module start from, so that their instances
// are bounded together: one that was in another state is brought to the one asked for. It
// says how long that took, which is nothing if one was there.
func (m *Module) get(ctx context.Context, from *snapshot, start, deadline time.Time) (*Instance, time.Duration, error) {
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

// put takes back an instance after an evaluation, and returns what that used.
func (m *Module) put(i *Instance) Usage {
	usage := i.Usage()
	i.end()
	done := time.Now()
	m.engine.recorder.ObserveEvaluation(done.Sub(i.acquired), usage.Fuel, usage.MemoryBytes)
	m.takeBack(i, done)
	usage.Reset = time.Since(done)
	return usage
}

// takeBack resets an instance whose evaluation is done, and puts it into the pool or drops
// it.
func (m *Module) takeBack(i *Instance, done time.Time) {
	if i.spoilt || m.snapshot == nil || i.home.retired.Load() {
		m.pool.Drop(i)
		return
	}
	// The instance that was put back last is used next, and more than there are
	// processors are busy at once only where guests wait for the host.
	err := i.reset(m.pool.Stats().Idle >= m.engine.loading.Size())
	i.dropGrownHandles()
	if err == nil && m.parks() && i.parked.frames == nil && !i.unparkable {
		err = i.parkAgain(context.Background())
	}
	if err == nil && i.chargeHeap() != nil {
		// No room for what it grew to: others are not asked to make it for an idle one.
		m.pool.Drop(i)
		return
	}
	m.engine.recorder.ObserveReset(time.Since(done))
	if err != nil {
		m.engine.logger.Warn("Resetting an instance failed: it is not used again", "digest", m.digest, "err", err)
		m.pool.Drop(i)
		return
	}
	home := i.home
	m.pool.Put(i)
	if home.retired.Load() {
		// It was retired after the look above, and others may have trimmed before.
		m.trim(home)
	}
}

// trim destroys the idle instances that are in the state of a snapshot.
func (m *Module) trim(s *snapshot) {
	m.pool.TrimLike(func(i *Instance) bool { return i.home == s })
}

// free gives back what load made. It runs once, after the last use.
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

// freeCode gives back the runtime and the code in it.
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

// fail makes an [*Error] of err, unless it is one.
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

// hostCause finds the cause of an error that no guest had a part in.
func hostCause(err error) Cause {
	switch {
	case errors.As(err, new(*pool.ShedError)):
		return CauseShed
	case errors.Is(err, context.DeadlineExceeded):
		return CauseDeadline
	case errors.Is(err, context.Canceled):
		return CauseCanceled
	case errors.As(err, new(*worker.DiedError)), errors.As(err, new(*memory.LimitError)), errors.As(err, new(*memory.BudgetError)), errors.As(err, new(*LimitError)),
		errors.As(err, new(*weight.Error)):
		return CauseLimit
	case errors.As(err, new(*wasm.Error)), errors.As(err, new(*wasm.UnsupportedError)):
		return CauseInvalid
	}
	return CauseOther
}
