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
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// quantum is the amount of fuel that a guest gets at a time. When the guest has burned it, it calls
// the tick, which can stop the evaluation and lets the garbage collector stop the world. This
// happens every 50 to 300 microseconds. A smaller quantum would cost guests more than it gains for
// others.
const quantum = 500_000

// meter accounts for the fuel and time of one evaluation.
type meter struct {
	fuel     api.MutableGlobal
	stack    api.MutableGlobal
	depth    int64 // the stack global while no function runs: the limit
	granted  int64 // given to the guest and not yet settled
	left     int64 // not yet given to the guest
	budget   int64
	portion  int64 // what is granted at a time
	deadline time.Time
	done     <-chan struct{}
	ctx      context.Context
}

// begin starts the account of an evaluation.
func (m *meter) begin(ctx context.Context, limits *Limits, deadline time.Time) {
	m.ctx, m.done = ctx, ctx.Done()
	m.budget, m.left, m.deadline, m.depth = limits.Fuel, limits.Fuel, deadline, limits.StackBytes
	m.stack.Set(uint64(m.depth))
	m.grant()
}

func (m *meter) grant() {
	m.granted = min(m.left, m.portion)
	m.left -= m.granted
	m.fuel.Set(uint64(m.granted))
}

// used returns the fuel burned since begin.
func (m *meter) used() int64 {
	return m.budget - m.left - int64(m.fuel.Get())
}

// check returns a stop if the evaluation's time is up or its context has ended.
func (m *meter) check() *stop {
	if m.ctx == nil {
		return nil // before the first evaluation
	}
	select {
	case <-m.done:
		if m.ctx.Err() == context.DeadlineExceeded {
			return &stop{CauseDeadline, errDeadline}
		}
		return &stop{CauseCanceled, context.Canceled}
	default:
	}
	if time.Now().After(m.deadline) {
		return &stop{CauseDeadline, errDeadline}
	}
	return nil
}

// outOfTime returns the result of check as an error, for work that is done in pieces.
func (i *Instance) outOfTime() error {
	if s := i.meter.check(); s != nil {
		return s
	}
	return nil
}

// tick is the function that a guest calls when it has burned its grant or nested its calls too
// deeply. The global of the exhausted resource is then negative, by the amount that the guest used
// beyond its grant.
func tick(i *Instance, _ []uint64) {
	m := &i.meter
	if left := int64(m.stack.Get()); left < 0 {
		err := &LimitError{
			Limit:   "bytes of stack",
			Value:   m.depth - left,
			Max:     m.depth,
			Setting: "limits.stack",
		}
		panic(&stop{CauseStack, fmt.Errorf("stack overflow: %w", err)})
	}
	if s := m.settle(); s != nil {
		panic(s)
	}
}

// settle deducts what the guest used beyond its grant, and grants the next quantum. It returns a
// stop if no fuel is left or the evaluation's time is up.
func (m *meter) settle() *stop {
	m.left += int64(m.fuel.Get())
	if m.left < 0 {
		// Keep the account exact for later readers.
		m.fuel.Set(uint64(m.left))
		m.left = 0
		return &stop{
			CauseFuel, &LimitError{
				Limit:   "units of fuel",
				Value:   m.used(),
				Max:     m.budget,
				Setting: "limits.fuel",
			},
		}
	}
	m.grant()
	return m.check()
}

// maxBurn is the most fuel burned at once: more than any budget, and far from an overflow.
const maxBurn = 1 << 60

// Burn charges the evaluation for work that a host function does on behalf of the guest. The unit
// is the fuel that the guest's own instructions cost, about ten for a nanosecond. If too little
// fuel is left, or the time is up, Burn returns an error. The host function then passes that error
// to [Instance.Abort], which keeps its cause. A host function burns fuel before it works.
func (i *Instance) Burn(units int64) error {
	m := &i.meter
	m.fuel.Set(uint64(int64(m.fuel.Get()) - min(max(0, units), maxBurn)))
	if int64(m.fuel.Get()) >= 0 {
		return nil
	}
	if s := m.settle(); s != nil {
		return s
	}
	return nil
}

// The host's work for a guest costs ten units of fuel for a nanosecond, as in [Instance.Burn].
const (
	// hostCallFuel is the cost of calling a host function and returning from it, including a check
	// of the clock.
	hostCallFuel = 1000
	// hostByteFuel is the cost of a byte that the host generates or prints.
	hostByteFuel = 10
)

// Pay is like [Instance.Burn], but aborts the evaluation if too little fuel is left or the time is
// up.
func (i *Instance) Pay(units int64) {
	if err := i.Burn(units); err != nil {
		i.Abort(err)
	}
}
