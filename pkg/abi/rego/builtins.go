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

package rego

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Builtins are the built-in functions of Rego that the host provides to guests, because the
// compiler does not put them into the module. Implementations are safe for concurrent use.
type Builtins interface {
	// Builtin finds a function by its Rego name, such as "sprintf". It returns nil for an unknown
	// name.
	Builtin(name string) Builtin
	// Withheld returns the reason why an existing function is not provided, or an empty string for
	// any other name.
	Withheld(name string) string
}

// Builtin is a built-in function. It returns the text of its result, a Rego value without
// variables, or nil for an undefined result. An error ends the evaluation. The function returns
// soon after the call's context ends.
type Builtin func(call *BuiltinCall) ([]byte, error)

// BuiltinCall is a guest's call of a built-in function. The guest controls the arguments.
type BuiltinCall struct {
	// Context ends when the evaluation ends.
	Context context.Context
	// Arguments are the texts of Rego values. Apart from JSON, these may be sets, such as {1, 2}
	// and set(), and objects with keys of any type. Together, the arguments have at most Limit
	// bytes.
	Arguments [][]byte
	// Memo is storage for the implementation of the functions. It points to nil at the first call
	// of an evaluation, and lasts as long as the evaluation.
	Memo *any
	// Limit is the maximum length of the result's text, in bytes.
	Limit int64
	// Burn charges the evaluation for the work of the call before the call does it. The unit is
	// fuel, about ten units for a nanosecond. A function returns Burn's error.
	Burn func(units int64) error
	// Print logs a line for the policy author.
	Print func(line string)
}

type namedBuiltin struct {
	name string
	call Builtin
}

// maxDescriptionBytes bounds the lists in which a guest names its built-ins and entrypoints.
const maxDescriptionBytes = 1 << 20

// describe reads the guest's list of required built-ins and its list of entrypoints.
func (g *Guest) describe(ctx context.Context, builtins Builtins) error {
	i, err := acquire(ctx, g.module, &evaluation{env: &guestio.StartEnvironment}, 0)
	if err != nil {
		return err
	}
	defer i.Release()
	if g.entrypoints, err = list(i, exportEntrypoints); err != nil {
		return g.located(err)
	}
	if !slices.Contains(slices.Collect(maps.Values(g.entrypoints)), entrypoint) {
		return g.located(
			errors.New("the policy has no entrypoint 0: compile it with an entrypoint"))
	}
	needed, err := list(i, exportBuiltins)
	if err != nil {
		return g.located(err)
	}
	g.builtins, err = find(needed, builtins)
	return g.located(err)
}

// list calls an export that returns a map of names to numbers.
func list(i *engine.Instance, export string) (map[string]int32, error) {
	value, err := call(i, export)
	if err != nil {
		return nil, err
	}
	document, err := dump(i, export, value, maxDescriptionBytes)
	if err != nil {
		return nil, err
	}
	var numbers map[string]int32
	if err := json.Unmarshal(document, &numbers); err != nil {
		return nil, fmt.Errorf("%s: %w", export, err)
	}
	return numbers, nil
}

// find looks up all functions that a guest requires.
func find(needed map[string]int32, builtins Builtins) (map[int32]namedBuiltin, error) {
	found := make(map[int32]namedBuiltin, len(needed))
	var missing, reasons []string
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		var f Builtin
		if builtins != nil {
			f = builtins.Builtin(name)
		}
		if f == nil {
			missing = append(missing, name)
			if builtins != nil && builtins.Withheld(name) != "" {
				reasons = append(reasons,
					fmt.Sprintf("%s is not lent: %s", name, builtins.Withheld(name)))
			}
		}
		if other, taken := found[needed[name]]; taken {
			return nil, fmt.Errorf(
				"built-in functions %q and %q have the same number", other.name, name)
		}
		found[needed[name]] = namedBuiltin{name: name, call: f}
	}
	if len(missing) > 0 {
		// This is the text that Kubewarden's users know.
		text := fmt.Sprintf("Missing Rego builtins: {%s}", quoteAll(missing))
		return nil, errors.New(strings.Join(append([]string{text}, reasons...), "; "))
	}
	return found, nil
}

// quoteAll quotes the names that the guest gave. It returns only the first ones if there are many.
func quoteAll(names []string) string {
	const most, longest = 100, 100
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", name[:min(len(name), longest)]))
	}
	if len(names) > most {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(quoted, ", ")
}

// evaluation is the host's side of an evaluation. Its builtins are nil while the guest starts and
// warms up, which makes all of them undefined. A snapshot must not hold what they report, such as
// the time, because evaluations share it.
type evaluation struct {
	env      *abi.Environment
	builtins map[int32]namedBuiltin
	memo     any
}

func evaluationOf(i *engine.Instance) *evaluation { return i.State().(*evaluation) }

// callBuiltin returns the import through which guests call functions with the given number of
// parameters. The guest passes the function's number, a meaningless context, and the addresses of
// values. It receives the address of a value, or 0 for undefined.
func callBuiltin(parameters int) func(*engine.Instance, []uint64) {
	return func(i *engine.Instance, stack []uint64) {
		e := evaluationOf(i)
		if e.builtins == nil {
			stack[0] = 0
			return
		}
		f, known := e.builtins[int32(stack[0])]
		if !known {
			i.Abort(fmt.Errorf("the guest calls built-in function %d without declaring it",
				int32(stack[0])))
		}
		c := &BuiltinCall{
			Context: i.Context(), Memo: &e.memo, Limit: e.env.Limits.HostCallPayloadBytes,
			Burn: i.Burn, Print: func(line string) { e.print(i, line) },
		}
		room := c.Limit
		for _, value := range stack[2 : 2+parameters] {
			argument := dumpValue(i, f.name, uint32(value), room)
			room -= int64(len(argument))
			c.Arguments = append(c.Arguments, argument)
		}
		result, err := f.run(c)
		if err == nil {
			// An interrupted function may have returned the interruption as its result.
			err = c.Context.Err()
		}
		if err == nil && int64(len(result)) > c.Limit {
			err = &engine.LimitError{
				Limit: "bytes of result",
				Value: int64(len(result)),
				Max:   c.Limit,
			}
		}
		if err != nil {
			i.MustGoOn()
			i.Abort(fmt.Errorf("built-in function %s: %w", f.name, err))
		}
		stack[0] = uint64(parseValue(i, f.name, result))
	}
}

// run calls the function. A panic in the function ends only the evaluation.
func (f *namedBuiltin) run(c *BuiltinCall) (result []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	return f.call(c)
}

func dumpValue(i *engine.Instance, name string, value uint32, limit int64) []byte {
	p, err := guestio.Text(i, "argument of "+name,
		uint32(i.CallBack(exportValueDump, uint64(value))), limit)
	if err != nil {
		i.Abort(err)
	}
	return p
}

func parseValue(i *engine.Instance, name string, value []byte) uint32 {
	if value == nil {
		return 0
	}
	start := uint32(i.CallBack(exportMalloc, uint64(len(value))))
	if err := guestio.Fill(i, "result of "+name, start, value); err != nil {
		i.Abort(err)
	}
	parsed := uint32(i.CallBack(exportValueParse, uint64(start), uint64(len(value))))
	if parsed == 0 {
		i.Abort(fmt.Errorf("the guest cannot parse the result of %s", name))
	}
	return parsed
}

// maxAbortBytes bounds the text of a guest that aborts.
const maxAbortBytes = 64 << 10

// abort ends the evaluation with the guest's error text.
func abort(i *engine.Instance, stack []uint64) {
	p, err := guestio.Text(i, "text of opa_abort", uint32(stack[0]), maxAbortBytes)
	if err != nil {
		i.Abort(err)
	}
	i.Abort(&abi.GuestError{Text: strings.ToValidUTF8(string(p), "\uFFFD")})
}

// printLine logs a line. It cuts a line that is too long, and does not end the evaluation.
func printLine(i *engine.Instance, stack []uint64) {
	e, start := evaluationOf(i), uint32(stack[0])
	room := i.Usage().MemoryBytes - int64(start)
	p, ok := i.Read(start, uint32(max(0, min(room, e.env.Limits.LogLineBytes))))
	if !ok || len(p) == 0 {
		i.Abort(fmt.Errorf("opa_println: a text at address %d is outside the guest's memory",
			start))
	}
	line, _, _ := bytes.Cut(p, []byte{0})
	i.Pay(int64(len(line))) // like all data from the guest
	e.print(i, string(line))
}

func (e *evaluation) print(i *engine.Instance, line string) {
	line = line[:min(int64(len(line)), e.env.Limits.LogLineBytes)]
	guestio.Log(i.Context(), e.env, "console", []byte(line))
}
