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

// minShared is the size in bytes from which data is parsed once for all evaluations. An Open Policy
// Agent guest parses data of this size in about 75 microseconds, three times as long as the rest of
// an evaluation. A state costs an image of at least a few hundred KiB. With more states than
// instances, each switch of an instance to another state costs up to 40 microseconds. Policies with
// only a few settings are better off parsing them each time.
const minShared = 4 << 10

// states are the states of one module in which guests have parsed their data. Policies with the
// same binary share them, because a guest parses the same data to the same result.
type states struct {
	// none reports that the module cannot have states. Each evaluation then parses its data.
	none atomic.Bool

	mu  sync.Mutex
	all []*state
}

// state is a guest's state after it parsed some data, or the wait for it. It lives while it is the
// last one of some policy, or while an evaluation uses it.
type state struct {
	data   text
	cancel context.CancelFunc
	// ready is closed once derived and address, or err, are set.
	ready   chan struct{}
	derived *engine.Derived
	address uint32
	err     error

	// holders counts policies and evaluations. failed reports that err is set. states.mu guards
	// both.
	holders int
	failed  bool
}

// parsed returns the state in which the guest has parsed the data. The first evaluation that asks
// for a state starts making it for all, and does not stop this when it ends. The caller releases
// the state after the evaluation. parsed returns nil if the module cannot have states.
func (g *Guest) parsed(ctx context.Context, env *abi.Environment, data text) (*state, error) {
	if g.states.none.Load() {
		return nil, nil
	}
	s := g.hold(ctx, env, data)
	select {
	case <-s.ready:
	case <-ctx.Done():
		g.release(s)
		cause := engine.CauseCanceled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cause = engine.CauseDeadline
		}
		return nil, &engine.Error{Digest: g.module.Digest(), Phase: engine.PhaseDerive,
			Cause: cause,
			Err: fmt.Errorf("waiting for %d bytes of data to be parsed: %w", data.size(),
				context.Cause(ctx))}
	}
	if s.err == nil {
		return s, nil
	}
	g.release(s)
	if errors.Is(s.err, engine.ErrNotDerivable) {
		g.states.none.Store(true)
		return nil, nil
	}
	return nil, fmt.Errorf("parsing %d bytes of data: %w", data.size(), s.err)
}

// hold returns the state of the data, held for the caller. It also makes it the policy's last one.
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
	g.release(before)
	return s
}

// find returns the state of the data, or nil if there is none. The caller holds the lock.
func (s *states) find(data text) *state {
	for _, known := range s.all {
		if known.is(data) {
			return known
		}
	}
	return nil
}

// is reports whether this is the state of the data. The caller holds the lock.
func (s *state) is(data text) bool { return !s.failed && s.data.equal(data) }

// begin starts making a state. This continues after the evaluation that asked for it ends, because
// later evaluations need the state as well. The caller holds the lock.
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

// finish passes a state to those who wait for it. It drops a failed state, so that the next
// evaluation tries again.
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

// forget removes a state from those that find can return. The caller holds the lock.
func (s *states) forget(gone *state) {
	s.all = slices.DeleteFunc(s.all, func(other *state) bool { return other == gone })
}

// release releases the hold of a policy or an evaluation on a state. The last release frees the
// state. A nil state is ignored.
func (g *Guest) release(s *state) {
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
