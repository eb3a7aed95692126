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
	"fmt"
	"sync"
	"time"
)

// ErrNotDerivable is the error of [Module.Derive] if no state can be derived from the module's: its
// instances cannot be reset, its guests are programs, or the preparation left something behind that
// evaluations must not share.
var ErrNotDerivable = errors.New("evaluations cannot share a state")

// Derived is a state of a module from which evaluations start instead of the module's own. In that
// state, work that each of them would otherwise repeat is already done, such as decoding a large
// document. A Derived shares the module's code and its pool of instances. It costs an image of the
// linear memory, plus the pages that its instances write. It is safe for concurrent use.
type Derived struct {
	module   *Module
	snapshot *snapshot
	closed   sync.Once
}

// Derive lets prepare call an instance of the module, and makes the resulting memory and globals a
// state from which evaluations can start. Preparing has the fuel of an evaluation, and a timeout;
// zero means the engine's limit. The guest then runs as it does before any evaluation: as for start
// functions, the evaluation's state is the result of the ABI's StartState, and the guest sees the
// module's fixed clock and randomness. If a guest asks for the date, randomness, or an external
// host function, its state must not be shared, and Derive returns [ErrNotDerivable].
//
// The caller must close the Derived. Errors have [PhaseDerive], or [PhaseStart] if the engine had
// no instance to prepare or no memory for the image.
func (m *Module) Derive(ctx context.Context, timeout time.Duration,
	prepare func(*Instance) error) (derived *Derived, err error) {
	defer func() {
		// The caller may not be a request handler, which would recover panics.
		if r := recover(); r != nil {
			err = m.fail(PhaseDerive, CauseAbort, fmt.Errorf("panic: %v", r))
		}
	}()
	if reason := m.underivable(); reason != "" {
		return nil, m.fail(PhaseDerive, CauseInvalid, fmt.Errorf("%w: %s", ErrNotDerivable, reason))
	}
	start := time.Now()
	i, err := m.acquire(ctx, m.snapshot, Evaluation{State: m.startState(), Timeout: timeout})
	if err != nil {
		return nil, err
	}
	// Do not reuse the instance: everything that preparing wrote is private memory.
	defer m.pool.Drop(i)
	defer i.end()
	i.phase = PhaseDerive
	i.ambient.startOver(m.key.digest, m.snapshot.elapsed)
	if err := i.prepare(prepare); err != nil {
		return nil, m.fail(PhaseDerive, CauseAbort, err)
	}
	s, err := i.capture()
	if err != nil {
		return nil, m.fail(PhaseStart, hostCause(err), err)
	}
	d := &Derived{module: m, snapshot: s}
	s.lazy = max(lazyBytes, min(uint64(d.MemoryBytes()), maxDerivedLazyBytes))
	m.engine.retain(m)
	took := time.Since(start)
	m.engine.recorder.ObserveDerivation(took)
	m.engine.logger.Debug("Derived a state", "digest", m.digest, "bytes", d.MemoryBytes(),
		"fuel", i.Usage().Fuel, "duration", took)
	return d, nil
}

// maxDerivedLazyBytes is the maximum number of bytes of a derived state that may be backed on first
// access. The guest mostly reads an image. Backing all of it as private memory would make each
// instance, and each of its resets, cost as much as the image's size. But each page that a guest
// writes delays the garbage collector by a microsecond or two, so this is bounded.
const maxDerivedLazyBytes = 32 << 20

// underivable returns why no state can be derived, or an empty string.
func (m *Module) underivable() string {
	switch {
	case m.abi.Command != nil:
		return "guests of the ABI are programs"
	case m.snapshot == nil:
		return "instances cannot be reset"
	}
	return ""
}

// prepare runs the caller's preparation, and returns an error if the resulting state is unusable.
func (i *Instance) prepare(prepare func(*Instance) error) error {
	err := prepare(i)
	switch {
	case err == nil && i.failed:
		return errors.New("a call has failed")
	case err == nil && (i.external || i.ambient.asked):
		return fmt.Errorf(
			"%w: the guest asked for the date, randomness, or an external host function",
			ErrNotDerivable)
	}
	return err
}

// MemoryBytes returns the size of the state's image in bytes.
func (d *Derived) MemoryBytes() int64 {
	if d.snapshot.image == nil {
		return 0
	}
	return int64(d.snapshot.image.Stored())
}

// Acquire is like [Module.Acquire], but returns an instance in the derived state.
func (d *Derived) Acquire(ctx context.Context, evaluation Evaluation) (*Instance, error) {
	return d.module.acquire(ctx, d.snapshot, evaluation)
}

// Close discards the state. No instance can be acquired in it afterwards. Running evaluations
// continue, and the last one frees what the state occupies. Closing it again does nothing.
func (d *Derived) Close() {
	d.closed.Do(func() {
		d.snapshot.retired.Store(true)
		d.module.trim(d.snapshot)
		if err := d.snapshot.close(); err != nil {
			d.module.engine.logger.Warn("Freeing a derived state failed", "digest", d.module.digest,
				"err", err)
		}
		d.module.engine.release(d.module)
	})
}
