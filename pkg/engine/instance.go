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

// Evaluation says what an instance is acquired for.
type Evaluation struct {
	// State belongs to the ABI: its host functions find it with
	// [Instance.State].
	State any
	// Timeout bounds the evaluation's wall-clock time. Zero means the limit of
	// the engine.
	Timeout time.Duration
}

// Usage is what an evaluation used.
type Usage struct {
	// Fuel is what the guest burnt.
	Fuel int64
	// MemoryBytes is the size of the linear memory at the end: memory never
	// shrinks while a guest runs.
	MemoryBytes int64
	// Wait is how long it waited for an instance, or for one to be made or brought to its
	// state; zero if it found one.
	Wait time.Duration
	// Reset is how long it took to bring the instance back to its snapshot, or to drop it;
	// zero before [Instance.Release].
	Reset time.Duration
}

// Instance is an instance of a module in the hands of one evaluation. It
// belongs to the goroutine that acquired it.
type Instance struct {
	module    *Module
	guest     api.Module
	memory    *memory.Range // nil if the module has none
	globals   []api.MutableGlobal
	functions map[string]api.Function
	ambient   *ambient
	meter     meter
	// ctx is what the runtime gets as context: the evaluation's, and the
	// instance as a value in it.
	ctx instanceContext
	// calls is the context of calls, which is ctx and may hold more.
	calls context.Context
	stack [4]uint64
	// callbacks are what [Instance.CallBack] calls, and callingBack is whether it does.
	callbacks   map[string]api.Function
	callingBack bool

	state any
	// phase is what errors of calls say: [PhaseCall] or [PhaseDerive].
	phase Phase
	// waiting is the evaluation's context with its deadline, made when a host
	// function asks for it.
	waiting       context.Context
	cancelWaiting context.CancelFunc
	// external is whether the guest called an external host function.
	external bool
	// failed is whether the evaluation has ended with an error, and spoilt
	// whether no reset can make up for it.
	failed, spoilt bool
	resets         int
	// heapCharged is what is reserved from the budget for the instance's Go heap, in bytes.
	heapCharged uint64
	// mapped is whether its mappings are reserved.
	mapped bool
	// arguments are those of the command that runs, or ran.
	arguments []string
	// home is the snapshot that the instance is reset to, nil if it cannot be. Parked is
	// where a command waits, and unparkable whether it cannot.
	home       *snapshot
	parked     parked
	unparkable bool
	// lane is where it runs, nil for the goroutine of the evaluation.
	lane     *lane
	ran      bool
	acquired time.Time
	waited   time.Duration
}

// instanceContext is a context that knows an instance. It is made once for each
// instance and not for each call.
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

// begin makes the instance serve an evaluation.
func (i *Instance) begin(ctx context.Context, state any, deadline time.Time) {
	i.state, i.phase, i.external, i.failed, i.callingBack, i.ambient.asked = state, PhaseCall, false, false, false, false
	i.arguments, i.ran = nil, false
	i.ctx.Context = ctx
	i.meter.begin(ctx, &i.module.limits, deadline)
}

// end forgets everything of an evaluation but what is in the guest.
func (i *Instance) end() {
	if i.cancelWaiting != nil {
		i.cancelWaiting()
	}
	i.waiting, i.cancelWaiting = nil, nil
	i.state, i.ctx.Context = nil, context.Background()
}

// Call calls an export and returns its result, or zero if it has none. A
// parameter or result of type i32 is the lower half of the value. After an
// error the instance is good for nothing but Release.
func (i *Instance) Call(function string, params ...uint64) (uint64, error) {
	if i.failed {
		return 0, i.misuse(function, errors.New("the evaluation has ended with an error before"))
	}
	f := i.function(function)
	if f == nil {
		return 0, i.misuse(function, errNoExport)
	}
	t := i.module.rewritten.FunctionExports[function]
	if want := len(t.Params); want != len(params) || len(t.Results) > 1 || want > len(i.stack) {
		return 0, i.misuse(function, fmt.Errorf("function has %d parameters and %d results, the host calls it with %d and at most 1",
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
		// Made once: it has a stack of its own.
		if f = i.guest.ExportedFunction(name); f != nil {
			i.functions[name] = f
		}
	}
	return f
}

// run calls into the guest.
func (i *Instance) run(f api.Function) error {
	if i.lane != nil {
		return i.lane.run(i, f)
	}
	return i.runHere(f)
}

// runHere does so on this goroutine. The runtime turns panics into errors itself; what it
// does not catch must not reach the caller either.
func (i *Instance) runHere(f api.Function) (err error) {
	defer func() {
		if r := recover(); r != nil {
			i.spoilt = true
			err = fmt.Errorf("runtime panicked: %v", r)
		}
	}()
	return f.CallWithStack(i.calls, i.stack[:])
}

// State returns what the evaluation was given for the ABI's host functions.
func (i *Instance) State() any { return i.state }

// Context returns the evaluation's context, which ends at its deadline: host
// functions that wait do so within it.
func (i *Instance) Context() context.Context {
	if i.waiting == nil {
		i.waiting, i.cancelWaiting = context.WithDeadline(i.ctx.Context, i.meter.deadline)
	}
	return i.waiting
}

// Read returns length bytes of linear memory at offset, and whether they lie
// within it. The slice is valid until the guest runs again, and its content is
// the guest's: copy it before looking twice.
func (i *Instance) Read(offset, length uint32) ([]byte, bool) {
	if i.memory == nil {
		return nil, false
	}
	return i.guest.Memory().Read(offset, length)
}

// Write copies p into linear memory at offset. It reports whether p fits there;
// if not, nothing is written.
func (i *Instance) Write(offset uint32, p []byte) bool {
	return i.memory != nil && i.guest.Memory().Write(offset, p)
}

// Abort ends the evaluation from within a host function: the guest does not run
// on, and the call returns an [*Error] that wraps err. It does not return.
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

// Release ends the evaluation and returns what it used. The instance must not be used
// afterwards.
func (i *Instance) Release() Usage { return i.module.put(i) }

// failure makes an error of what the runtime said.
func (i *Instance) failure(phase Phase, function string, err error) *Error {
	i.failed = true
	cause, err := classify(err)
	if i.memory != nil && (cause == CauseUnreachable || cause == CauseMemory) {
		// The guest cannot say that it gave up because it got no memory.
		refused := i.memory.Refused()
		if s := (*stop)(nil); errors.As(refused, &s) {
			cause, err = s.cause, s.err
		} else if refused != nil {
			cause, err = CauseLimit, fmt.Errorf("%w (%w)", err, refused)
		}
	}
	if cause == CauseStack {
		// The runtime would keep the stack, which has grown to its limit.
		i.spoilt = true
	}
	i.module.engine.recorder.CountFailure(string(phase), string(cause))
	return &Error{Digest: i.module.digest, Phase: phase, Function: function, Cause: cause, Err: err}
}

// misuse is the error of a call that cannot be made at all.
func (i *Instance) misuse(function string, err error) *Error {
	return &Error{Digest: i.module.digest, Phase: i.phase, Function: function, Cause: CauseInvalid, Err: err}
}

// sleep is what a guest sleeps by: no longer than its evaluation lasts. Before the
// snapshot it takes no time: the clock goes on.
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

// procExit ends the running export without closing the instance, which the
// library's own does.
func procExit(_ *Instance, stack []uint64) {
	panic(sys.NewExitError(uint32(stack[0])))
}

func isExitZero(err error) bool {
	exit := (*sys.ExitError)(nil)
	return errors.As(err, &exit) && exit.ExitCode() == 0
}
