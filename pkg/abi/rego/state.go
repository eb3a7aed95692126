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

package rego

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// minShared is the size in bytes from which data is parsed once for all evaluations. A
// guest of the Open Policy Agent parses it in about 75 microseconds, three times what else
// an evaluation takes. A state costs an image of a few hundred KiB at least, and up to 40
// microseconds where there are more states than instances, which then go from one to the
// other: below, policies with a few settings are better off parsing them.
const minShared = 4 << 10

// states are those of a module in which guests have parsed their data. Policies with the
// same binary have them in common: what a guest makes of the same data is the same.
type states struct {
	// none is whether the module can have no states: each evaluation parses its data.
	none atomic.Bool

	mu  sync.Mutex
	all []*state
}

// state is one in which a guest has parsed data, or is about to. It stays for as long as
// it is some policy's last one or has an evaluation.
type state struct {
	data   text
	cancel context.CancelFunc
	// ready is closed once derived and address, or err, are there.
	ready   chan struct{}
	derived *engine.Derived
	address uint32
	err     error

	// holders counts policies and evaluations. Guarded by states.mu, as is failed, which
	// is whether there is an error.
	holders int
	failed  bool
}

// parsed returns the state in which the guest has the data. It is made by the first
// evaluation that asks for it and, however this one ends, for all. The caller lets go of
// the state after the evaluation; there is none if the module cannot have states.
func (g *Guest) parsed(ctx context.Context, env *abi.Environment, data text) (*state, error) {
	if g.states.none.Load() {
		return nil, nil
	}
	s := g.hold(ctx, env, data)
	select {
	case <-s.ready:
	case <-ctx.Done():
		g.letGo(s)
		cause := engine.CauseCanceled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cause = engine.CauseDeadline
		}
		return nil, &engine.Error{Digest: g.module.Digest(), Phase: engine.PhaseDerive, Cause: cause,
			Err: fmt.Errorf("waiting for %d bytes of data to be parsed: %w", data.size(), context.Cause(ctx))}
	}
	if s.err == nil {
		return s, nil
	}
	g.letGo(s)
	if errors.Is(s.err, engine.ErrNotDerivable) {
		g.states.none.Store(true)
		return nil, nil
	}
	return nil, fmt.Errorf("parsing %d bytes of data: %w", data.size(), s.err)
}

// hold returns the state of the data, which becomes the policy's last one, and has the
// caller hold it.
func (g *Guest) hold(ctx context.Context, env *abi.Environment, data text) *state {
	g.states.mu.Lock()
	s, before := g.last, (*state)(nil)
	if s == nil || !s.is(data) {
		if s = g.states.find(data); s == nil {
			s = g.begin(ctx, env.Timeout, data)
		}
		s.holders++
		before, g.last = g.last, s
	}
	s.holders++
	g.states.mu.Unlock()
	g.letGo(before)
	return s
}

// find returns the state of the data, nil if there is none. The caller holds the lock.
func (s *states) find(data text) *state {
	for _, known := range s.all {
		if known.is(data) {
			return known
		}
	}
	return nil
}

// is tells whether the state is that of the data. The caller holds the lock.
func (s *state) is(data text) bool { return !s.failed && s.data.equal(data) }

// begin has a state made. That goes on whatever becomes of the evaluation that asked for
// it: the next ones need it as well. The caller holds the lock.
func (g *Guest) begin(ctx context.Context, timeout time.Duration, data text) *state {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &state{data: data, cancel: cancel, ready: make(chan struct{})}
	g.states.all = append(g.states.all, s)
	g.making.Go(func() {
		defer cancel()
		var address uint32
		derived, err := g.module.Derive(ctx, timeout, func(i *engine.Instance) (err error) {
			address, err = parse(i, "data", data)
			return err
		})
		g.finish(s, derived, address, err)
	})
	return s
}

// finish gives a state to those who wait for it. Failures are not kept: what comes later
// tries again.
func (g *Guest) finish(s *state, derived *engine.Derived, address uint32, err error) {
	g.states.mu.Lock()
	wanted := s.holders > 0
	if err != nil {
		g.states.forget(s)
	}
	if wanted {
		s.derived, s.address, s.err, s.failed = derived, address, err, err != nil
	}
	g.states.mu.Unlock()
	close(s.ready)
	if !wanted && derived != nil {
		derived.Close()
	}
}

// forget has a state not be found again. The caller holds the lock.
func (s *states) forget(gone *state) {
	s.all = slices.DeleteFunc(s.all, func(other *state) bool { return other == gone })
}

// letGo ends the hold of a policy or an evaluation on a state, which goes with the last
// one. Nil is no state.
func (g *Guest) letGo(s *state) {
	if s == nil {
		return
	}
	g.states.mu.Lock()
	s.holders--
	last, derived := s.holders == 0, s.derived
	if last {
		g.states.forget(s)
	}
	g.states.mu.Unlock()
	if !last {
		return
	}
	s.cancel()
	if derived != nil {
		derived.Close()
	}
}
