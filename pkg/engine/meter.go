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

// quantum is how much fuel a guest is granted at a time. When it is burnt, the
// guest calls the tick, which is where the evaluation can be stopped and where
// the collector can stop the world: every 50 to 300 microseconds. Less would
// cost guests more than it gives others.
const quantum = 500_000

// meter keeps the account of one evaluation's fuel and time.
type meter struct {
	fuel     api.MutableGlobal
	stack    api.MutableGlobal
	depth    int64 // what stack holds while no function runs: the limit
	granted  int64 // what the guest was given and has not been charged for
	left     int64 // what it may be given yet
	budget   int64
	portion  int64 // what is granted at a time
	deadline time.Time
	done     <-chan struct{}
	ctx      context.Context
}

// begin starts an evaluation's account.
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

// used returns what was burnt since begin.
func (m *meter) used() int64 {
	return m.budget - m.left - int64(m.fuel.Get())
}

// check stops the evaluation if its time is up.
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

// outOfTime is the meter's check as an error, for work that is done in pieces.
func (i *Instance) outOfTime() error {
	if s := i.meter.check(); s != nil {
		return s
	}
	return nil
}

// tick is what a guest calls that has burnt what it was granted, or that has nested
// its calls too deeply. The global of what is used up is negative then, by what the
// guest used beyond the grant.
func tick(i *Instance, _ []uint64) {
	m := &i.meter
	if left := int64(m.stack.Get()); left < 0 {
		err := &LimitError{Limit: "bytes of stack", Value: m.depth - left, Max: m.depth, Setting: "limits.stack"}
		panic(&stop{CauseStack, fmt.Errorf("stack overflow: %w", err)})
	}
	if s := m.settle(); s != nil {
		panic(s)
	}
}

// settle takes what was used beyond the grant from what is left, grants anew, and stops
// the evaluation if nothing is left or its time is up.
func (m *meter) settle() *stop {
	m.left += int64(m.fuel.Get())
	if m.left < 0 {
		// The account stays exact for whoever looks at it afterwards.
		m.fuel.Set(uint64(m.left))
		m.left = 0
		return &stop{CauseFuel, &LimitError{Limit: "units of fuel", Value: m.used(), Max: m.budget, Setting: "limits.fuel"}}
	}
	m.grant()
	return m.check()
}

// maxBurn is the most that is burnt at once: more than any budget, and far from overflow.
const maxBurn = 1 << 60

// Burn charges the evaluation for work that a host function does on the guest's word: units
// of fuel as its own instructions cost, about ten for a nanosecond. It returns an error if
// that was more than what was left, or if the time is up: the host function passes it to
// [Instance.Abort] then, which keeps its cause. A host function burns before it works.
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

// What the host does for a guest costs fuel, ten units for a nanosecond as in [Instance.Burn].
const (
	// hostCallFuel is for the call of a host function: the way there and back, and a look at
	// the clock.
	hostCallFuel = 1000
	// hostByteFuel is for a byte that the host makes, or prints.
	hostByteFuel = 10
)

// Pay is [Instance.Burn], and does not return if that was more than what was left.
func (i *Instance) Pay(units int64) {
	if err := i.Burn(units); err != nil {
		i.Abort(err)
	}
}
