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

package wasi

import (
	"context"
	"errors"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxErrorBytes is the number of bytes kept of a guest's standard error. A panic of a Go program,
// with all its goroutines, prints a few KiB.
const maxErrorBytes = 64 << 10

// run is the host's side of one run of the program.
type run struct {
	env *abi.Environment
	// input holds the pieces that the guest has not read yet; unread is their total size.
	input  [][]byte
	unread int64

	stdout, stderr []byte
	hostCalls      guestio.HostCalls
}

// feed appends to the guest's standard input.
func (r *run) feed(pieces ...[]byte) {
	for _, p := range pieces {
		if len(p) > 0 {
			r.input = append(r.input, p)
			r.unread += int64(len(p))
		}
	}
}

// outcome returns the result of a run that ended with err. If the guest ended itself, its standard
// error becomes the error. Otherwise, its standard error goes to the log.
func (r *run) outcome(ctx context.Context, err error) ([]byte, error) {
	if endedItself(err) {
		text := strings.TrimSpace(strings.ToValidUTF8(string(r.stderr), "\uFFFD"))
		return nil, &abi.GuestError{Text: text, End: err}
	}
	r.logErrors(ctx)
	if err != nil {
		return nil, err
	}
	return r.stdout, nil
}

func (r *run) logErrors(ctx context.Context) {
	emit := func(line []byte) { guestio.Log(ctx, r.env, "stderr", line) }
	var lines guestio.Lines
	lines.Write(r.stderr, r.env.Limits.LogLineBytes, emit)
	lines.Flush(emit)
}

// endedItself reports whether a guest exited with a nonzero status or trapped. All other errors
// come from the host.
func endedItself(err error) bool {
	if e := (*engine.Error)(nil); !errors.As(err, &e) || e.Phase != engine.PhaseCall {
		return false
	}
	switch engine.CauseOf(err) {
	case engine.CauseExit, engine.CauseUnreachable, engine.CauseMemory, engine.CauseArithmetic,
		engine.CauseStack:
		return true
	}
	return false
}
