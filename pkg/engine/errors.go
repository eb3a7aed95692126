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

// Phase is the part of a module's life in which something went wrong.
type Phase string

// The phases, in the order in which a module goes through them.
const (
	PhaseLoad   Phase = "load"   // the binary is read, checked and compiled
	PhaseStart  Phase = "start"  // an instance is made and its start functions run
	PhaseDerive Phase = "derive" // an instance is prepared for a state that others start from
	PhaseCall   Phase = "call"   // an export is called
)

// Cause says what ended an evaluation. The set is closed: it serves as a label
// of metrics.
type Cause string

// The causes.
const (
	CauseInvalid     Cause = "invalid_module"      // not a module that this engine runs
	CauseLimit       Cause = "limit"               // a limit was exceeded; the error names limit and value
	CauseFuel        Cause = "fuel"                // the evaluation's fuel was burnt
	CauseShed        Cause = "shed"                // too many evaluations wait for an instance
	CauseDeadline    Cause = "deadline"            // the evaluation's time was up
	CauseCanceled    Cause = "canceled"            // the caller gave up
	CauseStack       Cause = "stack_overflow"      // calls nested too deeply
	CauseUnreachable Cause = "unreachable"         // the guest gave up: most languages' panic
	CauseMemory      Cause = "out_of_bounds"       // an access outside linear memory or a table
	CauseArithmetic  Cause = "arithmetic"          // a division by zero or a conversion that overflows
	CauseExit        Cause = "exit"                // the guest exited with a status other than zero
	CauseAbort       Cause = "host_function_abort" // a host function refused to go on
	CauseOther       Cause = "other"
)

// Error tells why a module could not be loaded or an evaluation did not end as
// it should. It wraps what the runtime or a host function said.
type Error struct {
	// Digest is the SHA-256 of the module's binary, as "sha256:" and 64
	// hexadecimal digits.
	Digest string
	// Phase is where it happened.
	Phase Phase
	// Function is the export that was running, if one was.
	Function string
	// Cause is what ended it.
	Cause Cause
	// Err is the error underneath, never nil.
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

// Unwrap returns the error underneath.
func (e *Error) Unwrap() error { return e.Err }

// CauseOf returns the cause of an [*Error] anywhere in err's chain, or of an error of
// [Instance.Burn], or [CauseOther].
func CauseOf(err error) Cause {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Cause
	}
	if s := (*stop)(nil); errors.As(err, &s) {
		return s.cause
	}
	return CauseOther
}

// LimitError says which limit was exceeded, by what.
type LimitError struct {
	// Limit names the limit and its unit, such as "bytes of response".
	Limit string
	// Value is what was asked for, Max what is allowed.
	Value, Max int64
	// Setting is what raises the limit: a field of the plugin's configuration, such as
	// limits.fuel. It is empty if nothing does.
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

// The ways not to use [Instance.Run].
var (
	errNoCommand = errors.New("guests of the ABI are no commands")
	errRunBefore = errors.New("the evaluation has ended, or its program has run before")
	errNoMain    = errors.New("module does not export the function without parameters and results")
)

// stop ends an evaluation from within a host function: it travels through the
// runtime's stack as a panic and comes out as an error.
type stop struct {
	cause Cause
	err   error
}

func (s *stop) Error() string { return s.err.Error() }
func (s *stop) Unwrap() error { return s.err }

// The runtime keeps its errors for traps in an internal package; their texts
// are those of the specification's test suite and do not change.
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

// classify finds the cause of an error that a call into the runtime returned,
// and an error that says it in one line: the runtime appends a backtrace.
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

// trapError is a trap in one line; the backtrace stays within reach of a log.
type trapError struct {
	text string
	err  error
}

func (t *trapError) Error() string { return "wasm trap: " + t.text }
func (t *trapError) Unwrap() error { return t.err }

// errDeadline says in one sentence what a deadline does.
var errDeadline = fmt.Errorf("guest code interrupted, execution deadline exceeded: %w", context.DeadlineExceeded)
