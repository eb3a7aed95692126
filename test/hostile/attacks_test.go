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

package hostile

import "github.com/wasm-admission/wasm-admission/pkg/engine"

// outcome is the expected result of an attack.
type outcome struct {
	// refused is part of the error with which the module must fail to load. It is empty if the
	// module must load.
	refused string
	// cause is why the engine stops the evaluation. It is empty if the engine does not.
	cause engine.Cause
	// text is part of the evaluation's error. It is empty if there must be no error.
	text string
	// always is set if the module attacks on every request, not only on long ones.
	always bool
	// keeps is how much more written memory than other instances the instance may keep mapped for
	// its next evaluation, in bytes.
	keeps uint64
	// everywhere is set if the attack also runs with every way to reset memory, and interpreted.
	everywhere bool
}

func refused(text string) outcome { return outcome{refused: text} }

// late is an evaluation or a load that runs until its deadline.
func late() outcome { return outcome{cause: engine.CauseDeadline, text: deadlineText} }

func lateStart() outcome { return outcome{refused: deadlineText, cause: engine.CauseDeadline} }

func ends(cause engine.Cause, text string) outcome { return outcome{cause: cause, text: text} }

// fails is an evaluation that gives no verdict, according to the rules of the ABI.
func fails(text string) outcome { return outcome{text: text, always: true} }

// harmless is an attack without effect: the evaluation accepts the request.
func harmless() outcome { return outcome{} }

func everywhere(o outcome) outcome { o.everywhere = true; return o }
func always(o outcome) outcome     { o.always = true; return o }

const (
	deadlineText = "execution deadline exceeded"
	outside      = "outside the guest's memory"
	noAnswer     = "No error message OR response set for call success"
	noError      = "No error message set for call failure"
)

// attacks are the modules in test/wat/hostile. The header of each module says what it attacks.
var attacks = map[string]outcome{
	"args-environ-out-of-bounds":    harmless(),
	"calls-exponential":             everywhere(late()),
	"calls-exponential-deep-blocks": late(),
	"calls-exponential-indirect":    late(),
	"clock-out-of-bounds":           harmless(),
	"clock-storm":                   late(),
	"console-flood":                 everywhere(late()),
	"console-out-of-bounds":         ends(engine.CauseAbort, outside),
	"data-huge":                     everywhere(harmless()),
	"data-negative":                 refused("data[3]: out of bounds memory access"),
	"data-out-of-bounds":            refused("data[3]: out of bounds memory access"),
	"divide-by-zero": everywhere(ends(engine.CauseArithmetic,
		"integer divide by zero")),
	"divide-overflow":       ends(engine.CauseArithmetic, "integer overflow"),
	"element-out-of-bounds": harmless(),
	"environ-leak":          harmless(),
	"error-out-of-bounds":   ends(engine.CauseAbort, outside),
	"error-storm":           late(),
	"exit": everywhere(ends(engine.CauseExit,
		"guest exited with status 1")),
	"exit-zero":        ends(engine.CauseExit, "guest exited with status 0"),
	"export-duplicate": refused("second export \"memory\""),
	"export-missing": refused(
		"module does not export function \"__guest_call\": it is not a waPC guest"),
	"export-no-result": fails(noError),
	"export-reserved": refused(
		"module exports \"wasm-admission.fuel\": names that start with \"wasm-admission.\" are reserved"),
	"export-wrong-kind": refused(
		"module does not export function \"__guest_call\": it is not a waPC guest"),
	"export-wrong-type": always(ends(engine.CauseInvalid,
		"function has 3 parameters")),
	"fd-close-state":         everywhere(harmless()),
	"fd-read-iovecs":         late(),
	"fd-renumber":            harmless(),
	"fd-write-flood":         late(),
	"fd-write-iovecs":        everywhere(late()),
	"fd-write-iovecs-empty":  late(),
	"fd-write-iovecs-gib":    harmless(),
	"fd-write-lines":         everywhere(late()),
	"fd-write-out-of-bounds": everywhere(harmless()),
	"host-call-names-huge": ends(engine.CauseLimit,
		"bytes of host call binding, at most 1024 are allowed"),
	"host-call-names-out-of-bounds": ends(engine.CauseAbort, outside),
	"host-call-payload-huge": ends(engine.CauseLimit,
		"bytes of host call payload, at most 4194304 are allowed"),
	"host-call-payload-out-of-bounds": ends(engine.CauseAbort, outside),
	"host-call-reentrant": ends(engine.CauseLimit,
		"1001 host calls, at most 1000 are allowed"),
	"host-call-storm": everywhere(ends(engine.CauseLimit,
		"1001 host calls, at most 1000 are allowed")),
	"host-response-before-call":   harmless(),
	"host-response-out-of-bounds": ends(engine.CauseAbort, outside),
	"import-global":               refused("module[env] not instantiated"),
	"import-memory": refused(
		"module imports memory env.memory, which the host does not provide to waPC guests"),
	"import-reserved": refused(
		"module imports \"tick\" from the reserved module \"wasm-admission\""),
	"import-table": refused("module[env] not instantiated"),
	"import-unknown": refused(
		"module imports function env.system, which the host does not provide to waPC guests"),
	"import-wrong-type": refused(
		"module imports function wapc.__host_response_len with the wrong type"),
	"init-host-calls":           harmless(),
	"init-sleeps":               everywhere(harmless()),
	"init-spins":                lateStart(),
	"init-unreachable":          refused("start of wapc_init: wasm trap: unreachable"),
	"memory-copy":               late(),
	"memory-copy-out-of-bounds": ends(engine.CauseMemory, "out of bounds memory access"),
	"memory-fill":               everywhere(late()),
	"memory-fill-out-of-bounds": ends(engine.CauseMemory, "out of bounds memory access"),
	"memory-fill-recursive":     late(),
	"memory-grow":               late(),
	"memory-grow-all":           everywhere(ends(engine.CauseLimit, "unreachable")),
	"memory-grow-huge":          everywhere(harmless()),
	"memory-init": everywhere(ends(engine.CauseMemory,
		"out of bounds memory access")),
	"memory-minimum-huge": refused(
		"4294967296 bytes of linear memory at the start, at most 134217728 are allowed"),
	"memory-minimum-touched": {keeps: 2000 * engine.PageSize},
	"memory-none":            always(ends(engine.CauseAbort, outside)),
	"memory-none-wasi":       fails(noAnswer),
	"memory-out-of-bounds": everywhere(ends(engine.CauseMemory,
		"out of bounds memory access")),
	"memory-out-of-bounds-grown":      ends(engine.CauseMemory, "out of bounds memory access"),
	"memory-out-of-bounds-store":      ends(engine.CauseMemory, "out of bounds memory access"),
	"path-open":                       harmless(),
	"path-open-huge":                  late(),
	"poll-out-of-bounds":              harmless(),
	"poll-storm":                      late(),
	"poll-wraps":                      harmless(),
	"proposal-atomics":                refused("of the threads proposal"),
	"proposal-exceptions":             refused("tag section of the exception-handling proposal"),
	"proposal-memory64":               refused("64-bit memory of the memory64 proposal"),
	"proposal-multi-memory":           refused("second memory of the multi-memory proposal"),
	"proposal-threads":                refused("shared memory of the threads proposal"),
	"random-huge":                     everywhere(late()),
	"random-out-of-bounds":            harmless(),
	"recursion":                       everywhere(ends(engine.CauseStack, "stack overflow")),
	"recursion-export":                ends(engine.CauseStack, "stack overflow"),
	"recursion-indirect":              ends(engine.CauseStack, "stack overflow"),
	"recursion-mutual":                ends(engine.CauseStack, "stack overflow"),
	"recursion-tail":                  everywhere(late()),
	"recursion-tail-indirect":         late(),
	"recursion-tail-mutual":           late(),
	"request-operation-out-of-bounds": ends(engine.CauseAbort, outside),
	"request-out-of-bounds":           ends(engine.CauseAbort, outside),
	"request-storm":                   late(),
	"request-wraps":                   ends(engine.CauseAbort, outside),
	"response-and-error":              fails(`Guest call failure: {"accepted`),
	"response-and-exit":               always(ends(engine.CauseExit, "status 0")),
	"response-and-failure":            fails(noError),
	"response-and-spin":               always(late()),
	"response-and-trap":               always(ends(engine.CauseUnreachable, "unreachable")),
	"response-case":                   fails("missing field `accepted`"),
	"response-code-huge":              fails("code 99999999999999 is out of range"),
	"response-empty":                  always(ends(engine.CauseAbort, outside)),
	"response-from-start":             fails(noAnswer),
	"response-huge": everywhere(ends(engine.CauseLimit,
		"bytes of response, at most 8388608 are allowed")),
	"response-nested":        everywhere(fails("exceeded max depth")),
	"response-none":          fails(noAnswer),
	"response-not-utf8":      fails("invalid response from policy: not UTF-8"),
	"response-out-of-bounds": ends(engine.CauseAbort, outside),
	"response-over-limit": ends(engine.CauseLimit,
		"bytes of response, at most 8388608 are allowed"),
	"response-storm":           everywhere(late()),
	"response-twice":           fails("invalid response from policy: invalid character"),
	"response-wraps":           everywhere(ends(engine.CauseAbort, outside)),
	"response-zeros":           fails("invalid response from policy: invalid character"),
	"sleep":                    everywhere(late()),
	"sleep-again":              late(),
	"sleep-negative":           late(),
	"spin":                     everywhere(late()),
	"spin-br-if":               late(),
	"spin-br-table":            late(),
	"spin-nested":              late(),
	"spin-store":               everywhere(late()),
	"stack-deep-again":         late(),
	"stack-locals":             everywhere(ends(engine.CauseStack, "stack overflow")),
	"stack-multi-value":        ends(engine.CauseStack, "stack overflow"),
	"start-exponential":        lateStart(),
	"start-export-exits":       refused("start of _start: guest exited with status 3"),
	"start-export-parameters":  refused("start function \"_start\" has parameters"),
	"start-export-results":     refused("start of wapc_init"),
	"start-export-spins":       lateStart(),
	"start-export-unreachable": refused("start of _start: wasm trap: unreachable"),
	"start-memory":             everywhere(lateStart()),
	"start-recursion":          refused("start: stack overflow"),
	"start-spins":              everywhere(lateStart()),
	"start-unreachable":        refused("start: wasm trap: unreachable"),
	"state-globals":            everywhere(harmless()),
	"state-grown":              everywhere(harmless()),
	"state-memory":             everywhere(harmless()),
	"state-nan":                everywhere(harmless()),
	"state-random":             everywhere(harmless()),
	"state-vector":             everywhere(harmless()),
	"straight-code":            late(),
	"table-copy":               late(),
	"table-fill":               late(),
	"table-grow":               everywhere(late()),
	"table-grow-huge":          harmless(),
	"table-minimum-huge":       refused("minimum of the table is 10000001"),
	"table-null":               ends(engine.CauseMemory, "invalid table access"),
	"table-out-of-bounds":      ends(engine.CauseMemory, "invalid table access"),
	"table-state":              everywhere(harmless()),
	"table-wrong-type":         ends(engine.CauseMemory, "indirect call type mismatch"),
	"tables-many": refused(
		"module needs tables of at least 2097152000 entries, the limit is 131072"),
	"truncate-nan": everywhere(ends(engine.CauseArithmetic,
		"invalid conversion to integer")),
	"truncate-overflow": ends(engine.CauseArithmetic, "integer overflow"),
	"unreachable":       everywhere(ends(engine.CauseUnreachable, "unreachable")),
}
