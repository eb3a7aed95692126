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

// Package topdown lends the built-in functions of the Open Policy Agent to policies in
// Rego. It is the one package that links the Open Policy Agent: whoever wants policies in
// Rego hands it in.
package topdown

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/topdown/print"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
)

// Builtins are the functions that need nothing but their arguments, a clock and
// randomness. It is safe for concurrent use. The zero value treats errors as Kubewarden
// does.
type Builtins struct {
	// UndefinedErrors makes all functions undefined that fail, as the Open Policy Agent
	// has it. By default those fail the evaluation that Kubewarden has, too: there, they
	// do.
	UndefinedErrors bool
}

var _ rego.Builtins = Builtins{}

// withheld are functions that are not lent, and why.
var withheld = map[string]string{
	"http.send":          network,
	"net.lookup_ip_addr": network,
	"opa.runtime":        "it tells of the host's environment",

	"json.match_schema":  schemas,
	"json.verify_schema": schemas,

	"graphql.is_valid":         queries,
	"graphql.parse":            queries,
	"graphql.parse_and_verify": queries,
}

const (
	network = "it reaches out to the network"
	schemas = "a schema may refer to files of the host, and to itself without end: what overflows Go's stack ends the process"
	queries = "it compares the fields of a query with each other, through fragments in fragments, and cannot be interrupted"
)

// aliases are names that Kubewarden has without the part before the dot.
var aliases = map[string]string{
	"date":             "time.date",
	"parse_rfc3339_ns": "time.parse_rfc3339_ns",
}

// strict are the functions that Kubewarden's host has, where one that fails ends the
// evaluation.
var strict = []string{
	"base64url.encode_no_pad", "date", "glob.quote_meta", "hex.decode", "hex.encode", "json.is_valid", "json.patch",
	"parse_rfc3339_ns", "regex.find_n", "regex.split", "regex.template_match", "semver.compare", "semver.is_valid",
	"sprintf", "time.now_ns", "trace", "urlquery.decode", "urlquery.decode_object", "urlquery.encode",
	"urlquery.encode_object", "yaml.is_valid", "yaml.marshal", "yaml.unmarshal",
}

// Builtin implements [rego.Builtins].
func (b Builtins) Builtin(name string) rego.Builtin {
	if withheld[name] != "" {
		return nil
	}
	if name == ast.Trace.Name {
		return trace
	}
	f := topdown.GetBuiltin(name)
	if full := aliases[name]; full != "" {
		f = topdown.GetBuiltin(full)
	}
	if f == nil {
		return nil
	}
	fails := !b.UndefinedErrors && slices.Contains(strict, name)
	return func(call *rego.BuiltinCall) ([]byte, error) {
		return evaluate(name, f, call, fails)
	}
}

// evaluate calls a function. Its errors make it undefined, unless it fails for them or
// they are of the kind that ends evaluations in the Open Policy Agent, too.
func evaluate(name string, f topdown.BuiltinFunc, call *rego.BuiltinCall, fails bool) ([]byte, error) {
	var operands []*ast.Term
	for n, argument := range call.Arguments {
		value, err := parseValue(argument)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", n, err)
		}
		operands = append(operands, ast.NewTerm(value))
	}
	if g := guards[name]; g != nil {
		if err := g(operands, call); err != nil {
			return nil, err
		}
	}
	bctx := contextOf(call)
	bctx.Cancel = topdown.NewCancel()
	defer context.AfterFunc(call.Context, bctx.Cancel.Cancel)()
	var result *ast.Term
	err := f(*bctx, operands, func(t *ast.Term) error {
		result = t
		return nil
	})
	if err != nil && (fails || errors.As(err, new(topdown.Halt)) || topdown.IsCancel(err) || call.Context.Err() != nil) {
		return nil, err
	}
	if err != nil || result == nil {
		return nil, nil
	}
	p := printed{limit: call.Limit}
	p.value(result.Value, 0)
	return p.text, p.err
}

// contextOf returns what an evaluation's functions share: a time that stands still,
// randomness, caches, and the permission to ask no host for a schema.
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

// printer logs what a policy prints.
type printer struct{ print func(line string) }

// Print implements [print.Hook]. Sets in what a policy prints multiply its lines.
func (p printer) Print(ctx print.Context, line string) error {
	if err := ctx.Context.Err(); err != nil {
		return topdown.Halt{Err: err}
	}
	p.print(line)
	return nil
}

// trace logs a note, as it does in Kubewarden.
func trace(call *rego.BuiltinCall) ([]byte, error) {
	if len(call.Arguments) != 1 {
		return nil, errors.New("trace takes one argument")
	}
	value, err := parseValue(call.Arguments[0])
	if err != nil {
		return nil, err
	}
	note, ok := value.(ast.String)
	if !ok {
		return nil, fmt.Errorf("trace takes a string, not %s", ast.ValueName(value))
	}
	call.Print(string(note))
	return []byte("true"), nil
}
