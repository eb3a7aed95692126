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
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// A program spends most of a short run on its own start: Go's runtime takes half a
// millisecond. So instances wait for evaluations at their first read of standard
// input, where memory and globals are those of a snapshot as everywhere, and
// where the program's stack is kept, too.
//
// The stack is that of the runtime's function object, which can copy it while a host
// function runs, and go on with a copy while another host function runs
// ([experimental.Snapshotter]). Running on a copy uses it up. So each evaluation
// begins with a call that resumes the program in its read, which the rewrite then has
// it repeat (see [rewrite.Park]): there the next copy is made, in the same state to
// the bit. As no copy is ever used twice, it does not matter how an evaluation ends.
//
// Where a copy belongs to a goroutine (see [faults]), an instance that may wait runs on one
// of its own.

// readAgain is what a read returns to be repeated. WASI has no such errno.
const readAgain = 0x7fffffff

// park has the rewrite prepare programs.
func (p *plan) park() *rewrite.Park {
	if p.abi == nil || p.abi.Command == nil || len(p.abi.Command.Parked) == 0 || p.interpreter {
		// The interpreter's stack is in part the host's, which nothing can copy.
		return nil
	}
	return &rewrite.Park{Main: mainFunction, ReadModule: wasi_snapshot_preview1.ModuleName, ReadName: "fd_read", Again: readAgain}
}

// parkStage is what the next read of an instance means.
type parkStage uint8

const (
	reading  parkStage = iota // a read like any other
	parking                   // the first one: the program stops there
	resuming                  // the one before the program, in place of which it goes on
	resumed                   // the one that was repeated
)

// parked is where a program waits.
type parked struct {
	stage parkStage
	// frames is the stack, not used yet; nil if there is none.
	frames experimental.Snapshot
	// left is what the program may take yet of the stack that it is limited to.
	left uint64
	// printed is whether the program wrote anything.
	printed bool
}

// errParked ends the run that brings a program to where it waits.
var errParked = errors.New("the program is parked")

// isParkingRead is whether an import is the one at which programs wait.
func isParkingRead(imported rewrite.FunctionImport) bool {
	return imported.Module == wasi_snapshot_preview1.ModuleName && imported.Name == "fd_read"
}

// exportParkingRead puts a read in place that knows of parking: it needs the context,
// in which the runtime has the means.
func exportParkingRead(builder wazero.HostModuleBuilder) {
	f := wasiFunction("fd_read", "iiii", fdRead)
	builder.NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
			i := instanceFrom(ctx)
			i.Pay(hostCallFuel)
			i.MustGoOn()
			i.atRead(ctx, uint32(stack[0]))
			f.Call(i, stack)
		}), f.Params, f.Results).
		Export(f.Name)
}

// atRead does what the instance's stage asks for. It does not return if the program is
// to stop, or to go on elsewhere.
func (i *Instance) atRead(ctx context.Context, fd uint32) {
	p := &i.parked
	switch {
	case p.stage == resuming:
		frames := p.frames
		p.stage, p.frames = resumed, nil
		i.meter.stack.Set(p.left)
		frames.Restore([]uint64{readAgain})
	case p.stage == resumed:
		p.stage, p.frames = reading, experimental.GetSnapshotter(ctx).Snapshot()
	case p.stage == parking && fd == 0:
		p.stage, p.left = reading, i.meter.stack.Get()
		// What it printed or learned before belongs to every evaluation anew.
		if !p.printed && !i.external {
			p.frames = experimental.GetSnapshotter(ctx).Snapshot()
			if stackBytes(p.frames) > maxParkedStack {
				p.frames = nil
			}
		}
		panic(&stop{CauseOther, errParked})
	}
}

// maxParkedStack is the largest stack in bytes that is copied for each evaluation. It
// lies on the Go heap and is counted (see [Instance.chargeHeap]). Go programs read with
// 10 KiB.
const maxParkedStack = 256 << 10

// stackBytes returns the size of a stack. The runtime does not tell: one that keeps it
// elsewhere has programs not wait, and a test fail.
func stackBytes(frames experimental.Snapshot) int {
	if v := reflect.Indirect(reflect.ValueOf(frames)); v.Kind() == reflect.Struct {
		if stack := v.FieldByName("stack"); stack.Kind() == reflect.Slice {
			return stack.Len()
		}
	}
	return math.MaxInt
}

// parks is whether the module's programs wait at their first read. The module has two
// snapshots then: one from before the program starts, and one from there.
func (m *Module) parks() bool { return m.cold != nil }

// park brings a program from before its start to where it waits, and reports whether it
// waits there. An error says that there was not enough time to see.
func (i *Instance) park(ctx context.Context, cold *snapshot) (bool, error) {
	m := i.module
	i.ambient.startOver(m.key.digest, cold.elapsed)
	i.begin(ctx, m.startState(), time.Now().Add(m.limits.Timeout))
	defer i.end()
	i.arguments = m.abi.Command.Parked
	i.parked = parked{stage: parking}
	err := i.run(i.function(m.rewritten.ParkExport))
	i.parked.stage = reading
	if err == nil || errors.Is(err, errParked) {
		return i.parked.frames != nil, nil
	}
	if cause, _ := classify(err); cause == CauseDeadline || cause == CauseCanceled {
		return false, i.failure(PhaseStart, mainFunction, err)
	}
	return false, nil
}

// takeParkedSnapshot returns the snapshot of a program that waits, if it gets there, and
// else the one from before its start.
func (m *Module) takeParkedSnapshot(ctx context.Context, i *Instance, cold *snapshot) *snapshot {
	if m.rewritten.ParkExport == "" {
		return cold
	}
	if waits, err := i.park(ctx, cold); !waits || err != nil {
		return cold
	}
	waiting, err := i.capture()
	if err != nil {
		// Without budget for another image the one there is must do.
		return cold
	}
	m.cold = cold
	return waiting
}

// fromStart makes an instance whose program waits.
func (m *Module) fromStart(ctx context.Context) (*Instance, error) {
	i, err := m.instantiate(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := i.parkAgain(ctx); err != nil {
		i.destroy()
		return nil, m.fail(PhaseStart, hostCause(err), err)
	}
	return i, nil
}

// parkAgain has the instance's program wait, from wherever it is. One that gets to
// another state than the module's snapshot is run from its start: nothing that
// programs can ask for makes such a difference, but a copied stack in a memory that it
// does not belong to must not be.
func (i *Instance) parkAgain(ctx context.Context) error {
	m := i.module
	if err := i.goTo(m.cold, ctx.Err); err != nil {
		return err
	}
	waits, err := i.park(ctx, m.cold)
	if err != nil {
		return err
	}
	if !waits || !i.is(m.snapshot) {
		i.parked = parked{}
		i.unparkable = true
		m.astray.Do(func() {
			m.engine.logger.Warn("A program did not get to where it was parked before: it is run from its start", "digest", m.digest)
		})
		return i.goTo(m.cold, ctx.Err)
	}
	return i.goTo(m.snapshot, ctx.Err)
}

// goTo brings the instance to a snapshot, to which it is reset from now on, unless it is
// interrupted.
func (i *Instance) goTo(s *snapshot, interrupted func() error) error {
	i.home = s
	i.ambient.goLive(s.elapsed)
	i.restoreGlobals()
	if i.memory == nil {
		return nil
	}
	if err := i.memory.Attach(s.image); err != nil {
		return err
	}
	i.memory.SetLazy(s.lazy)
	return i.memory.Populate(interrupted)
}

// is compares the instance with a snapshot.
func (i *Instance) is(s *snapshot) bool {
	for n, g := range i.globals {
		if g.Get() != s.globals[n] {
			return false
		}
	}
	return i.ambient.elapsed == s.elapsed && (i.memory == nil || i.memory.Holds(s.image))
}

// enter returns the function that runs the program with its arguments, from where it
// waits or from its start.
func (i *Instance) enter(arguments []string) (api.Function, error) {
	m := i.module
	if !m.parks() {
		return i.function(mainFunction), nil
	}
	if i.parked.frames != nil && slices.Equal(arguments, m.abi.Command.Parked) {
		i.parked.stage = resuming
		return i.function(m.rewritten.ParkExport), nil
	}
	i.parked = parked{}
	if i.home == m.cold {
		return i.function(mainFunction), nil
	}
	return i.function(mainFunction), i.goTo(m.cold, i.outOfTime)
}
