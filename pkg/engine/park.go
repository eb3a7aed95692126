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

// A program spends most of a short run on its own startup: Go's runtime takes half a millisecond.
// Instances therefore wait for evaluations at the program's first read of standard input. There,
// memory and globals match a snapshot, as always, and the engine also keeps the program's stack.
//
// The stack belongs to the runtime's function object. The runtime can copy the stack while a host
// function runs, and can continue on a copy while another host function runs
// ([experimental.Snapshotter]). Running on a copy uses it up. Each evaluation therefore begins with
// a call that resumes the program in its read, which the rewritten code then repeats (see
// [rewrite.Park]). The repeated read makes the next copy, in a bit-identical state. As no copy is
// used twice, it does not matter how an evaluation ends.
//
// Where a copy belongs to a goroutine (see [faults]), an instance that may wait runs on its own
// goroutine.

// readAgain is the result that tells the program to repeat a read. WASI has no such errno.
const readAgain = 0x7fffffff

// park returns how the rewrite prepares programs for parking, or nil.
func (p *plan) park() *rewrite.Park {
	if p.abi == nil || p.abi.Command == nil || len(p.abi.Command.Parked) == 0 || p.interpreter {
		// Part of the interpreter's stack is the host's, which nothing can copy.
		return nil
	}
	return &rewrite.Park{
		Main:       mainFunction,
		ReadModule: wasi_snapshot_preview1.ModuleName,
		ReadName:   "fd_read",
		Again:      readAgain,
	}
}

// parkStage is the meaning of an instance's next read.
type parkStage uint8

const (
	reading  parkStage = iota // an ordinary read
	parking                   // the first read, at which the program stops
	resuming                  // a read in place of which the program continues on its copied stack
	resumed                   // the repeated read
)

// parked is the state of a waiting program.
type parked struct {
	stage parkStage
	// frames is the copied stack that is not used yet, or nil.
	frames experimental.Snapshot
	// left is how much of its stack limit the program has left.
	left uint64
	// printed is set when the program writes any output.
	printed bool
}

// errParked ends the run that brings a program to the point where it waits.
var errParked = errors.New("the program is parked")

// isParkingRead reports whether an import is the read at which programs wait.
func isParkingRead(imported rewrite.FunctionImport) bool {
	return imported.Module == wasi_snapshot_preview1.ModuleName && imported.Name == "fd_read"
}

// exportParkingRead exports a read that supports parking. It needs the context, which carries the
// runtime's snapshotter.
func exportParkingRead(builder wazero.HostModuleBuilder) {
	f := wasiFunction("fd_read", "iiii", fdRead)
	builder.NewFunctionBuilder().
		WithGoModuleFunction(
			api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
				i := instanceFrom(ctx)
				i.Pay(hostCallFuel)
				i.MustGoOn()
				i.atRead(ctx, uint32(stack[0]))
				f.Call(i, stack)
			}), f.Params, f.Results).
		Export(f.Name)
}

// atRead acts on the instance's stage. It does not return if the program stops or continues
// elsewhere.
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
		// Every evaluation must repeat what the program printed or learned before.
		if !p.printed && !i.external {
			p.frames = experimental.GetSnapshotter(ctx).Snapshot()
			if stackBytes(p.frames) > maxParkedStack {
				p.frames = nil
			}
		}
		panic(&stop{CauseOther, errParked})
	}
}

// maxParkedStack is the size in bytes of the largest stack that is copied for each evaluation. The
// copy lies on the Go heap and is counted (see [Instance.chargeHeap]). Go programs read with 10
// KiB.
const maxParkedStack = 256 << 10

// stackBytes returns the size of a stack. The runtime does not report it. If the runtime keeps the
// stack elsewhere, programs do not wait, and a test fails.
func stackBytes(frames experimental.Snapshot) int {
	if v := reflect.Indirect(reflect.ValueOf(frames)); v.Kind() == reflect.Struct {
		if stack := v.FieldByName("stack"); stack.Kind() == reflect.Slice {
			return stack.Len()
		}
	}
	return math.MaxInt
}

// parks reports whether the module's programs wait at their first read. The module then has two
// snapshots: one before the program starts, and one at that read.
func (m *Module) parks() bool { return m.cold != nil }

// park runs a program from before its start to the point where it waits, and reports whether it
// waits there. An error means that there was not enough time to find out.
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

// takeParkedSnapshot returns the snapshot of a waiting program, or the one before its start if the
// program does not get to that point.
func (m *Module) takeParkedSnapshot(ctx context.Context, i *Instance, cold *snapshot) *snapshot {
	if m.rewritten.ParkExport == "" {
		return cold
	}
	if waits, err := i.park(ctx, cold); !waits || err != nil {
		return cold
	}
	waiting, err := i.capture()
	if err != nil {
		// The budget has no room for another image, so use the existing one.
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

// parkAgain makes the instance's program wait, from any state. If the program arrives in a state
// that differs from the module's snapshot, the engine runs it from its start. Nothing that programs
// can ask for causes such a difference, but a copied stack must never meet a memory to which it
// does not belong.
func (i *Instance) parkAgain(ctx context.Context) error {
	m := i.module
	if err := i.goTo(m.cold, ctx.Err); err != nil {
		return err
	}
	waits, err := i.park(ctx, m.cold)
	if err != nil {
		return err
	}
	if !waits || !i.matches(m.snapshot) {
		i.parked = parked{}
		i.unparkable = true
		m.warnUnparkable.Do(func() {
			m.engine.logger.Warn(
				"A program did not reach the point where it was parked before: running it from its start",
				"digest", m.digest)
		})
		return i.goTo(m.cold, ctx.Err)
	}
	return i.goTo(m.snapshot, ctx.Err)
}

// goTo restores a snapshot, unless it is interrupted. Later resets restore that snapshot, too.
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

// matches reports whether the instance is in the state of a snapshot.
func (i *Instance) matches(s *snapshot) bool {
	for n, g := range i.globals {
		if g.Get() != s.globals[n] {
			return false
		}
	}
	return i.ambient.elapsed == s.elapsed && (i.memory == nil || i.memory.Holds(s.image))
}

// enter returns the function that runs the program with its arguments, from the point where it
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
