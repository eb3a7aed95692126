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
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
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

// Instance is a module's instance in the hands of one evaluation. It belongs to
// the goroutine that acquired it.
type Instance struct {
	module *Module
	state  any
	ctx    context.Context
	cancel context.CancelFunc
	guest  api.Module
	stack  [4]uint64
}

type instanceKey struct{}

func instanceFrom(ctx context.Context) *Instance {
	return ctx.Value(instanceKey{}).(*Instance)
}

// Acquire makes an instance ready for one evaluation: fresh, with its start
// functions run. The evaluation's time starts now, and ends with ctx at the
// latest. The caller releases the instance when the evaluation is over.
func (m *Module) Acquire(ctx context.Context, evaluation Evaluation) (*Instance, error) {
	timeout := evaluation.Timeout
	if timeout == 0 {
		timeout = m.limits.Timeout
	}
	i := &Instance{module: m, state: evaluation.State}
	i.ctx, i.cancel = context.WithTimeout(context.WithValue(ctx, instanceKey{}, i), timeout)
	if err := i.start(); err != nil {
		i.Release()
		return nil, err
	}
	return i, nil
}

func (i *Instance) start() (err error) {
	defer i.recoverPanic(PhaseStart, "", &err)
	if err := i.ctx.Err(); err != nil {
		return i.failure(PhaseStart, "", err)
	}
	config := wazero.NewModuleConfig().
		WithName("").
		WithStartFunctions().
		WithRandSource(rand.Reader).
		WithSysWalltime().
		WithSysNanotime().
		WithNanosleep(i.sleep)
	if output := i.module.abi.Output; output != nil {
		config = config.WithStdout(orDiscard(output(i, 1))).WithStderr(orDiscard(output(i, 2)))
	}
	i.guest, err = i.module.runtime.InstantiateModule(i.ctx, i.module.code, config)
	if err != nil {
		return i.failure(PhaseStart, "", err)
	}
	for _, name := range i.module.abi.StartFunctions {
		f := i.guest.ExportedFunction(name)
		if f == nil {
			continue
		}
		if _, err := f.Call(i.ctx); err != nil && !isExitZero(err) {
			return i.failure(PhaseStart, name, err)
		}
	}
	return nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// sleep is what a guest sleeps by: no longer than its evaluation lasts.
func (i *Instance) sleep(nanoseconds int64) {
	timer := time.NewTimer(time.Duration(nanoseconds))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.ctx.Done():
	}
}

// Call calls an export and returns its result, or zero if it has none. A
// parameter or result of type i32 is the lower half of the value. After an
// error the instance is good for nothing but Release.
func (i *Instance) Call(function string, params ...uint64) (result uint64, err error) {
	defer i.recoverPanic(PhaseCall, function, &err)
	f := i.guest.ExportedFunction(function)
	if f == nil {
		return 0, i.misuse(function, errors.New("module does not export the function"))
	}
	definition := f.Definition()
	if want := len(definition.ParamTypes()); want != len(params) || len(definition.ResultTypes()) > 1 || want > len(i.stack) {
		return 0, i.misuse(function, fmt.Errorf("function has %d parameters and %d results, the host calls it with %d and at most 1",
			want, len(definition.ResultTypes()), len(params)))
	}
	copy(i.stack[:], params)
	if err := f.CallWithStack(i.ctx, i.stack[:]); err != nil {
		return 0, i.failure(PhaseCall, function, err)
	}
	if len(definition.ResultTypes()) == 0 {
		return 0, nil
	}
	return i.stack[0], nil
}

// State returns what the evaluation was given for the ABI's host functions.
func (i *Instance) State() any { return i.state }

// Context returns the evaluation's context: host functions that wait do so
// within it.
func (i *Instance) Context() context.Context { return i.ctx }

// Read returns length bytes of linear memory at offset, and whether they lie
// within it. The slice is valid until the guest runs again, and its content is
// the guest's: copy it before looking twice.
func (i *Instance) Read(offset, length uint32) ([]byte, bool) {
	memory := i.guest.Memory()
	if memory == nil {
		return nil, false
	}
	return memory.Read(offset, length)
}

// Write copies p into linear memory at offset. It reports whether p fits there;
// if not, nothing is written.
func (i *Instance) Write(offset uint32, p []byte) bool {
	memory := i.guest.Memory()
	return memory != nil && memory.Write(offset, p)
}

// Abort ends the evaluation from within a host function: the guest does not run
// on, and the call returns an [*Error] that wraps err. It does not return.
func (i *Instance) Abort(err error) { panic(&abort{err: err}) }

// Release ends the evaluation. The instance must not be used afterwards.
func (i *Instance) Release() {
	if i.guest != nil {
		// Its context may be over, and closing must not depend on it.
		if err := i.guest.Close(context.WithoutCancel(i.ctx)); err != nil {
			i.module.engine.logger.Warn("Closing an instance failed", "digest", i.module.digest, "err", err)
		}
	}
	i.cancel()
}

func (i *Instance) failure(phase Phase, function string, err error) *Error {
	cause, err := classify(i.ctx, err)
	return &Error{Digest: i.module.digest, Phase: phase, Function: function, Cause: cause, Err: err}
}

// misuse is the error of a call that cannot be made at all.
func (i *Instance) misuse(function string, err error) *Error {
	return &Error{Digest: i.module.digest, Phase: PhaseCall, Function: function, Cause: CauseInvalid, Err: err}
}

// recoverPanic is the last line of defence: the runtime turns panics of host
// functions into errors itself.
func (i *Instance) recoverPanic(phase Phase, function string, err *error) {
	if r := recover(); r != nil {
		*err = &Error{Digest: i.module.digest, Phase: phase, Function: function, Cause: CauseOther, Err: fmt.Errorf("runtime panicked: %v", r)}
	}
}

// procExit ends the running export without closing the instance.
func procExit(_ *Instance, stack []uint64) {
	panic(sys.NewExitError(uint32(stack[0])))
}

func isExitZero(err error) bool {
	exit := (*sys.ExitError)(nil)
	return errors.As(err, &exit) && exit.ExitCode() == 0
}
