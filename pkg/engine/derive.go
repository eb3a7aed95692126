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

// ErrNotDerivable is what [Module.Derive] fails with if no state can be derived from the
// module's: its instances cannot be reset, or they are programs, or the preparation left
// behind what evaluations must not share.
var ErrNotDerivable = errors.New("evaluations cannot share a state")

// Derived is a state of a module that evaluations start from instead of the module's own:
// one in which something has been done that each of them would do otherwise, such as to
// decode a large document. It shares the module's code and its pool of instances. Its cost
// is one image of the linear memory, and those pages that its instances write. It is safe
// for concurrent use.
type Derived struct {
	module   *Module
	snapshot *snapshot
	closed   sync.Once
}

// Derive has prepare call an instance of the module, and makes what that leaves in memory
// and globals a state to start from. Preparing has the fuel of an evaluation, and as much
// time, of which zero means the engine's limit. The guest is before all requests then: as
// for start functions, the state of the evaluation is that of the ABI's StartState, and
// clock and randomness are those of the module. A guest that looks at either, or calls an
// external host function, leaves behind what must not be shared: the error is
// [ErrNotDerivable].
//
// A caller that got a Derived closes it. Errors are of [PhaseDerive], or of [PhaseStart] if
// there was no instance to prepare or no memory to keep its image.
func (m *Module) Derive(ctx context.Context, timeout time.Duration, prepare func(*Instance) error) (derived *Derived, err error) {
	defer func() {
		// Who derives need not be a request, whose panics are caught.
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
	// It is not used again: in its memory, all that preparing took is private.
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
	m.engine.logger.Debug("Derived a state", "digest", m.digest, "bytes", d.MemoryBytes(), "fuel", i.Usage().Fuel, "duration", took)
	return d, nil
}

// maxDerivedLazyBytes is how much of a derived state may be backed when it is touched.
// What an image holds is there to be read: to back it as private memory would cost each
// instance, and each of its resets, as much as the image is large. Each page that a guest
// writes holds up the garbage collector for a microsecond or two, so there is a bound.
const maxDerivedLazyBytes = 32 << 20

// underivable says why no state can be derived; empty if it can.
func (m *Module) underivable() string {
	switch {
	case m.abi.Command != nil:
		return "guests of the ABI are programs"
	case m.snapshot == nil:
		return "instances cannot be reset"
	}
	return ""
}

// prepare runs the caller's preparation, and returns why what it left cannot be used.
func (i *Instance) prepare(prepare func(*Instance) error) error {
	err := prepare(i)
	switch {
	case err == nil && i.failed:
		return errors.New("a call has failed")
	case err == nil && (i.external || i.ambient.asked):
		return fmt.Errorf("%w: the guest asked for date, randomness or an external host function", ErrNotDerivable)
	}
	return err
}

// MemoryBytes is how large the image of the state is, in bytes.
func (d *Derived) MemoryBytes() int64 {
	if d.snapshot.image == nil {
		return 0
	}
	return int64(d.snapshot.image.Stored())
}

// Acquire does what [Module.Acquire] does, with an instance in the derived state.
func (d *Derived) Acquire(ctx context.Context, evaluation Evaluation) (*Instance, error) {
	return d.module.acquire(ctx, d.snapshot, evaluation)
}

// Close gives the state up: no instance can be acquired in it any more. Evaluations that
// have one go on, and what the state takes is free after the last of them. Closing again
// does nothing.
func (d *Derived) Close() {
	d.closed.Do(func() {
		d.snapshot.retired.Store(true)
		d.module.trim(d.snapshot)
		if err := d.snapshot.close(); err != nil {
			d.module.engine.logger.Warn("Freeing a derived state failed", "digest", d.module.digest, "err", err)
		}
		d.module.engine.release(d.module)
	})
}
