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

// maxErrorBytes is how much is kept of what a guest prints to its standard error. That
// of a Go program which panics, with all its goroutines, is a few KiB.
const maxErrorBytes = 64 << 10

// run is the host's side of one run of the program.
type run struct {
	env *abi.Environment
	// input is what the guest has not read yet, in pieces, unread how much that is.
	input  [][]byte
	unread int64

	stdout, stderr []byte
	hostCalls      guestio.HostCalls
}

// feed puts more onto the guest's standard input.
func (r *run) feed(pieces ...[]byte) {
	for _, p := range pieces {
		if len(p) > 0 {
			r.input = append(r.input, p)
			r.unread += int64(len(p))
		}
	}
}

// outcome tells what became of a run that ended with err. What a guest says on its
// standard error is the error if it ended itself, and else something for the log.
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

// endedItself is whether a guest exited with a status other than zero or trapped. All
// other errors are the host's.
func endedItself(err error) bool {
	if e := (*engine.Error)(nil); !errors.As(err, &e) || e.Phase != engine.PhaseCall {
		return false
	}
	switch engine.CauseOf(err) {
	case engine.CauseExit, engine.CauseUnreachable, engine.CauseMemory, engine.CauseArithmetic, engine.CauseStack:
		return true
	}
	return false
}
