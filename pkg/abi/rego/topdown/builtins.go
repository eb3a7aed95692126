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

// Package topdown provides the Open Policy Agent's built-in functions to Rego policies. No other
// package links the Open Policy Agent. Programs that want to run Rego policies pass this package
// in.
package topdown

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/topdown/print"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
)

// Builtins are the functions that need only their arguments, a clock and randomness. It is safe for
// concurrent use. The zero value treats errors as Kubewarden does.
type Builtins struct {
	// UndefinedErrors makes each function that fails undefined, as the Open Policy Agent does. By
	// default, the functions that Kubewarden's host has end the evaluation when they fail, as they
	// do there.
	UndefinedErrors bool
}

var _ rego.Builtins = Builtins{}

// Builtin implements [rego.Builtins].
func (b Builtins) Builtin(name string) rego.Builtin {
	full := cmp.Or(aliases[name], name)
	price := lent[full]
	if price == nil {
		return nil
	}
	f := own[full]
	if f == nil {
		f = topdown.GetBuiltin(full)
	}
	l := &function{
		call:  f,
		price: price,
		arity: ast.BuiltinMap[full].Decl.Arity(),
		fails: !b.UndefinedErrors && slices.Contains(strict, name),
	}
	return l.evaluate
}

// Withheld implements [rego.Builtins].
func (Builtins) Withheld(name string) string {
	if slices.Contains(native, name) {
		return "the compiler of the Open Policy Agent puts it into the module"
	}
	return withheld[name]
}

// function is a built-in that the host provides.
type function struct {
	call  topdown.BuiltinFunc
	price pricing
	arity int
	// fails reports whether an error ends the evaluation. Otherwise, an error makes the result
	// undefined, except for the errors that end evaluations in the Open Policy Agent.
	fails bool
}

// evaluate implements [rego.Builtin].
func (f *function) evaluate(call *rego.BuiltinCall) ([]byte, error) {
	c, err := newPriced(call, f.arity)
	if err != nil {
		return nil, err
	}
	p := f.price(c)
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := call.Burn(p.work); err != nil {
		return nil, err
	}
	leave, err := enter(call.Context, p.memory)
	if err != nil {
		return nil, err
	}
	defer leave()
	result, err := f.result(call, c)
	if err != nil || result == nil {
		return nil, err
	}
	printed := printed{limit: call.Limit}
	printed.value(result.Value, 0)
	if printed.err != nil {
		return nil, printed.err
	}
	return printed.text, call.Burn(byteWork * int64(len(printed.text)))
}

// result calls the function. A nil result is undefined.
func (f *function) result(call *rego.BuiltinCall, c *priced) (result *ast.Term, err error) {
	bctx := *c.shared
	bctx.Cancel = topdown.NewCancel()
	defer context.AfterFunc(call.Context, bctx.Cancel.Cancel)()
	err = f.call(bctx, c.operands, func(t *ast.Term) error {
		result = t
		return nil
	})
	switch {
	case err == nil:
		return result, nil
	case f.fails || errors.As(err, new(topdown.Halt)) || topdown.IsCancel(err) ||
		call.Context.Err() != nil:
		return nil, short(err)
	}
	return nil, nil
}

// maxErrorBytes is the number of bytes kept of an error. Some errors repeat the arguments.
const maxErrorBytes = 1 << 10

func short(err error) error {
	text := err.Error()
	if len(text) <= maxErrorBytes {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:maxErrorBytes], "") + "...")
}

// contextOf returns the data that the functions of one evaluation share: a constant time,
// randomness, caches, and an empty list of hosts that schemas may come from.
func contextOf(call *rego.BuiltinCall) *topdown.BuiltinContext {
	if bctx, ok := (*call.Memo).(*topdown.BuiltinContext); ok {
		return bctx
	}
	bctx := &topdown.BuiltinContext{
		Context:      call.Context,
		Metrics:      metrics.NoOp(),
		Seed:         rand.Reader,
		Time:         ast.NumberTerm(json.Number(strconv.FormatInt(time.Now().UnixNano(), 10))),
		Cache:        builtins.Cache{},
		PrintHook:    printer{call.Print},
		Capabilities: &ast.Capabilities{AllowNet: []string{}},
	}
	*call.Memo = bctx
	return bctx
}

// printer logs the lines that a policy prints.
type printer struct{ print func(line string) }

// Print implements [print.Hook]. A print call with sets produces a line for each combination of
// their elements.
func (p printer) Print(ctx print.Context, line string) error {
	if err := ctx.Context.Err(); err != nil {
		return topdown.Halt{Err: err}
	}
	p.print(line)
	return nil
}

// trace logs a note, as Kubewarden does.
func trace(bctx topdown.BuiltinContext, operands []*ast.Term, iter func(*ast.Term) error) error {
	note, ok := operands[0].Value.(ast.String)
	if !ok {
		return fmt.Errorf("trace takes a string, not %s", ast.ValueName(operands[0].Value))
	}
	bctx.PrintHook.(printer).print(string(note))
	return iter(ast.InternedTerm(true))
}
