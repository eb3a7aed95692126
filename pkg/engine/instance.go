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
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

// Evaluation describes the evaluation for which an instance is acquired.
type Evaluation struct {
	// State belongs to the ABI. Its host functions read it with [Instance.State].
	State any
	// Timeout bounds the evaluation's wall-clock time. Zero means the engine's limit.
	Timeout time.Duration
}

// Usage is the resource usage of an evaluation.
type Usage struct {
	// Fuel is the fuel that the guest burned.
	Fuel int64
	// MemoryBytes is the size of the linear memory at the end. Memory never shrinks while a guest
	// runs.
	MemoryBytes int64
	// Wait is how long the evaluation waited for an instance to be released, made, or brought to
	// its state. It is zero if an instance was ready.
	Wait time.Duration
	// Reset is how long it took to reset the instance to its snapshot or to drop it. It is zero
	// before [Instance.Release].
	Reset time.Duration
}

// Instance is an instance of a module that serves one evaluation. It belongs to the goroutine that
// acquired it.
type Instance struct {
	module    *Module
	guest     api.Module
	memory    *memory.Range // nil if the module has none
	globals   []api.MutableGlobal
	functions map[string]api.Function
	ambient   *ambient
	meter     meter
	// ctx is the context that the runtime gets. It wraps the evaluation's context and carries the
	// instance as a value.
	ctx instanceContext
	// calls is the context for calls into the guest: ctx, possibly with more values.
	calls context.Context
	stack [4]uint64
	// callbacks caches the functions that [Instance.CallBack] calls. callingBack is set while one
	// runs.
	callbacks   map[string]api.Function
	callingBack bool

	state any
	// phase is the phase that errors of calls report: [PhaseCall] or [PhaseDerive].
	phase Phase
	// waiting is the evaluation's context with its deadline. It is made when a host function first
	// asks for it.
	waiting       context.Context
	cancelWaiting context.CancelFunc
	// external is set when the guest calls an external host function.
	external bool
	// failed is set when the evaluation ends with an error, and unusable when no reset can repair
	// the instance.
	failed, unusable bool
	resets           int
	// heapCharged is the number of bytes reserved from the budget for the instance's Go heap.
	heapCharged uint64
	// mapped is set while the instance's mappings are reserved.
	mapped bool
	// arguments are the arguments of the running command, or of the last one.
	arguments []string
	// home is the snapshot to which the instance is reset, or nil if it cannot be reset. parked
	// holds a waiting command, and unparkable is set if the command cannot wait.
	home       *snapshot
	parked     parked
	unparkable bool
	// lane is the goroutine on which the instance runs, or nil for the evaluation's own goroutine.
	lane     *lane
	ran      bool
	acquired time.Time
	waited   time.Duration
}

// instanceContext is a context that carries an instance. It is allocated once for each instance,
// not for each call.
type instanceContext struct {
	context.Context
	instance *Instance
}

type instanceKey struct{}

func (c *instanceContext) Value(key any) any {
	if key == (instanceKey{}) {
		return c.instance
	}
	return c.Context.Value(key)
}

func instanceFrom(ctx context.Context) *Instance {
	return ctx.Value(instanceKey{}).(*Instance)
}

// begin prepares the instance for an evaluation.
func (i *Instance) begin(ctx context.Context, state any, deadline time.Time) {
	i.state, i.phase, i.external, i.failed, i.callingBack, i.ambient.asked = state, PhaseCall,
		false, false, false, false
	i.arguments, i.ran = nil, false
	i.ctx.Context = ctx
	i.meter.begin(ctx, &i.module.limits, deadline)
}

// end discards all state of an evaluation except the state in the guest.
func (i *Instance) end() {
	if i.cancelWaiting != nil {
		i.cancelWaiting()
	}
	i.waiting, i.cancelWaiting = nil, nil
	i.state, i.ctx.Context = nil, context.Background()
}

// Call calls an export and returns its result, or zero if it has none. The lower half of the value
// holds a parameter or result of type i32. After an error, the caller can only release the
// instance.
func (i *Instance) Call(function string, params ...uint64) (uint64, error) {
	if i.failed {
		return 0, i.misuse(function, errors.New("the evaluation has already ended with an error"))
	}
	f := i.function(function)
	if f == nil {
		return 0, i.misuse(function, errNoExport)
	}
	t := i.module.rewritten.FunctionExports[function]
	if want := len(t.Params); want != len(params) || len(t.Results) > 1 || want > len(i.stack) {
		return 0, i.misuse(function,
			fmt.Errorf(
				"function has %d parameters and %d results, but the host calls it with %d parameters and expects at most 1 result",
				want, len(t.Results), len(params)))
	}
	if s := i.meter.check(); s != nil {
		return 0, i.failure(i.phase, function, s)
	}
	copy(i.stack[:], params)
	if err := i.run(f); err != nil {
		return 0, i.failure(i.phase, function, err)
	}
	if len(t.Results) == 0 {
		return 0, nil
	}
	return i.stack[0], nil
}

func (i *Instance) function(name string) api.Function {
	f, known := i.functions[name]
	if !known {
		// Keep the handle: it has its own stack.
		if f = i.guest.ExportedFunction(name); f != nil {
			i.functions[name] = f
		}
	}
	return f
}

// run calls a function of the guest.
func (i *Instance) run(f api.Function) error {
	if i.lane != nil {
		return i.lane.run(i, f)
	}
	return i.runHere(f)
}

// runHere calls the function on this goroutine. The runtime turns most panics into errors. runHere
// catches the rest, because no panic may reach the caller.
func (i *Instance) runHere(f api.Function) (err error) {
	defer func() {
		if r := recover(); r != nil {
			i.unusable = true
			err = fmt.Errorf("runtime panicked: %v", r)
		}
	}()
	return f.CallWithStack(i.calls, i.stack[:])
}

// State returns the [Evaluation.State] of the running evaluation.
func (i *Instance) State() any { return i.state }

// Context returns the evaluation's context, which ends at its deadline. Host functions that wait
// must use it.
func (i *Instance) Context() context.Context {
	if i.waiting == nil {
		i.waiting, i.cancelWaiting = context.WithDeadline(i.ctx.Context, i.meter.deadline)
	}
	return i.waiting
}

// Read returns length bytes of linear memory at offset, and reports whether they lie within it. The
// slice is valid until the guest runs again. The guest controls its contents: copy them before
// reading them twice.
func (i *Instance) Read(offset, length uint32) ([]byte, bool) {
	if i.memory == nil {
		return nil, false
	}
	return i.guest.Memory().Read(offset, length)
}

// Write copies p into linear memory at offset. It reports whether p fits there; if it does not,
// nothing is written.
func (i *Instance) Write(offset uint32, p []byte) bool {
	return i.memory != nil && i.guest.Memory().Write(offset, p)
}

// Abort ends the evaluation from within a host function. The guest does not continue, and its call
// returns an [*Error] that wraps err. Abort does not return.
func (i *Instance) Abort(err error) {
	cause := CauseAbort
	if s := (*stop)(nil); errors.As(err, &s) {
		cause = s.cause
	} else if errors.As(err, new(*LimitError)) {
		cause = CauseLimit
	}
	panic(&stop{cause, err})
}

// Usage returns what the evaluation has used so far.
func (i *Instance) Usage() Usage {
	usage := Usage{Fuel: i.meter.used(), Wait: i.waited}
	if i.memory != nil {
		usage.MemoryBytes = int64(i.memory.Usage().Size)
	}
	return usage
}

// Release ends the evaluation and returns its usage. The instance must not be used afterwards.
func (i *Instance) Release() Usage { return i.module.put(i) }

// failure turns an error of the runtime into an [*Error].
func (i *Instance) failure(phase Phase, function string, err error) *Error {
	i.failed = true
	cause, err := classify(err)
	if i.memory != nil && (cause == CauseUnreachable || cause == CauseMemory) {
		// The guest cannot report that memory.grow was refused, and traps instead.
		refused := i.memory.Refused()
		if s := (*stop)(nil); errors.As(refused, &s) {
			cause, err = s.cause, s.err
		} else if refused != nil {
			cause, err = CauseLimit, fmt.Errorf("%w (%w)", err, refused)
		}
	}
	if cause == CauseStack {
		// The runtime would keep the stack, which has grown to its limit.
		i.unusable = true
	}
	i.module.engine.recorder.CountFailure(string(phase), string(cause))
	return &Error{Digest: i.module.digest, Phase: phase, Function: function, Cause: cause, Err: err}
}

// misuse returns the error for a call that cannot be made at all.
func (i *Instance) misuse(function string, err error) *Error {
	return &Error{
		Digest:   i.module.digest,
		Phase:    i.phase,
		Function: function,
		Cause:    CauseInvalid,
		Err:      err,
	}
}

// sleep implements sleeping for a guest, for at most the rest of its evaluation. Before the
// snapshot, sleeping takes no time: only the guest's clock advances.
func (i *Instance) sleep(nanoseconds int64) {
	if !i.ambient.live {
		i.ambient.elapsed += min(nanoseconds, int64(time.Hour))
		return
	}
	timer := time.NewTimer(time.Duration(nanoseconds))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.Context().Done():
		i.MustGoOn()
	}
}

// procExit ends the running export but does not close the instance, unlike wazero's own function.
func procExit(_ *Instance, stack []uint64) {
	panic(sys.NewExitError(uint32(stack[0])))
}

func isExitZero(err error) bool {
	exit := (*sys.ExitError)(nil)
	return errors.As(err, &exit) && exit.ExitCode() == 0
}
