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
	"strings"

	"github.com/tetratelabs/wazero/sys"
)

// Phase is the part of a module's life in which an error occurred.
type Phase string

// The phases, in the order in which a module passes through them.
const (
	PhaseLoad   Phase = "load"   // reading, checking, and compiling the binary
	PhaseStart  Phase = "start"  // making an instance and running its start functions
	PhaseDerive Phase = "derive" // preparing an instance for a state from which others start
	PhaseCall   Phase = "call"   // calling an export
)

// Cause says what ended an evaluation. The set is closed, so metrics use it as a label.
type Cause string

// The causes.
const (
	CauseInvalid Cause = "invalid_module" // not a module that this engine can run
	// a limit was exceeded; the error names limit and value
	CauseLimit       Cause = "limit"
	CauseFuel        Cause = "fuel"           // the evaluation burned its fuel
	CauseShed        Cause = "shed"           // too many evaluations wait for an instance
	CauseDeadline    Cause = "deadline"       // the evaluation ran out of time
	CauseCanceled    Cause = "canceled"       // the caller canceled the evaluation
	CauseStack       Cause = "stack_overflow" // calls were nested too deeply
	CauseUnreachable Cause = "unreachable"    // the guest gave up, such as on a panic
	CauseMemory      Cause = "out_of_bounds"  // an access outside linear memory or a table
	// a division by zero or an overflowing conversion
	CauseArithmetic Cause = "arithmetic"
	CauseExit       Cause = "exit"                // the guest exited with a nonzero status
	CauseAbort      Cause = "host_function_abort" // a host function refused to continue
	CauseOther      Cause = "other"
)

// Error says why a module could not be loaded or why an evaluation failed. It wraps the error of
// the runtime or of a host function.
type Error struct {
	// Digest is the SHA-256 digest of the module's binary: "sha256:" and 64 hexadecimal digits.
	Digest string
	// Phase is where the error occurred.
	Phase Phase
	// Function is the export that was running, or empty.
	Function string
	// Cause is what ended the load or the evaluation.
	Cause Cause
	// Err is the underlying error. It is never nil.
	Err error
}

// Error implements the error interface.
func (e *Error) Error() string {
	where := string(e.Phase)
	if e.Function != "" {
		where += " of " + e.Function
	}
	return fmt.Sprintf("module %s: %s: %v", e.Digest, where, e.Err)
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf returns the cause of the [*Error], or of the error from [Instance.Burn], in err's chain.
// If there is neither, it returns [CauseOther].
func CauseOf(err error) Cause {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	if s := (*stop)(nil); errors.As(err, &s) {
		return s.cause
	}
	return CauseOther
}

// LimitError says which limit was exceeded, and by which value.
type LimitError struct {
	// Limit names the limit and its unit, such as "bytes of response".
	Limit string
	// Value is the requested amount, Max the allowed one.
	Value, Max int64
	// Setting is the setting that raises the limit: a field of the plugin's configuration, such as
	// limits.fuel. It is empty if there is none.
	Setting string
}

// Error implements the error interface.
func (e *LimitError) Error() string {
	text := fmt.Sprintf("limit exceeded: %d %s, at most %d are allowed", e.Value, e.Limit, e.Max)
	if e.Setting != "" {
		text += ": raise " + e.Setting
	}
	return text
}

// ExitError says that a guest exited.
type ExitError struct{ Status uint32 }

// Error implements the error interface.
func (e *ExitError) Error() string { return fmt.Sprintf("guest exited with status %d", e.Status) }

// Misuses of [Instance.Run].
var (
	errNoCommand = errors.New("guests of the ABI are not commands")
	errRunBefore = errors.New("the evaluation has ended, or its program has already run")
	errNoMain    = errors.New("module does not export the function without parameters and results")
)

// stop ends an evaluation from within a host function. It travels through the runtime's stack as a
// panic and comes out as an error.
type stop struct {
	cause Cause
	err   error
}

func (s *stop) Error() string { return s.err.Error() }
func (s *stop) Unwrap() error { return s.err }

// trapCauses maps the texts of traps to causes, because the runtime keeps its trap errors in an
// internal package. The texts come from the specification's test suite and do not change.
var trapCauses = []struct {
	text  string
	cause Cause
}{
	{"stack overflow", CauseStack},
	{"unreachable", CauseUnreachable},
	{"out of bounds memory access", CauseMemory},
	{"invalid table access", CauseMemory},
	{"indirect call type mismatch", CauseMemory},
	{"integer divide by zero", CauseArithmetic},
	{"integer overflow", CauseArithmetic},
	{"invalid conversion to integer", CauseArithmetic},
}

// classify returns the cause of an error from the runtime, and the error as a single line. The
// runtime appends a backtrace.
func classify(err error) (Cause, error) {
	if s := (*stop)(nil); errors.As(err, &s) {
		return s.cause, s.err
	}
	if l := (*LimitError)(nil); errors.As(err, &l) {
		return CauseLimit, l
	}
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		return CauseExit, &ExitError{Status: exit.ExitCode()}
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	for _, trap := range trapCauses {
		if strings.HasSuffix(text, trap.text) {
			return trap.cause, &trapError{text: trap.text, err: err}
		}
	}
	return CauseOther, &trapError{text: text, err: err}
}

// trapError is a trap as a single line. It wraps the runtime's error, so that logs can show the
// backtrace.
type trapError struct {
	text string
	err  error
}

func (t *trapError) Error() string { return "wasm trap: " + t.text }
func (t *trapError) Unwrap() error { return t.err }

// errDeadline is the error of an evaluation that exceeds its deadline.
var errDeadline = fmt.Errorf("guest code interrupted, execution deadline exceeded: %w",
	context.DeadlineExceeded)
