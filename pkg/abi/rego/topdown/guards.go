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

package topdown

import (
	"fmt"
	"math/big"
	"net/netip"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// guards refuse calls of functions that can make much of little, before they do: what
// they allocate is the process's memory, not the guest's. What a guard does not
// understand is for the function to refuse.
var guards = map[string]func(operands []*ast.Term, call *rego.BuiltinCall) error{
	"graph.reachable_paths":     guardPaths,
	"graphql.parse_query":       guardGraphQL,
	"graphql.parse_schema":      guardGraphQL,
	"graphql.schema_is_valid":   guardGraphQL,
	"net.cidr_contains_matches": guardProduct,
	"net.cidr_expand":           guardExpansion,
	"numbers.range_step":        guardRange,
	"regex.globs_match":         guardGlobs,
	"regex.replace":             guardReplacement,
	"rego.parse_module":         guardModule,
	"sprintf":                   guardFormat,
	"strings.render_template":   guardTemplate,
}

// maxElements is how many elements a function may make of a range, and maxPairs how many
// bytes two arguments may have, multiplied, where each element meets each.
const (
	maxElements = 100_000
	maxPairs    = 1 << 30
)

func exceeds(what string, value, most int64) error {
	if value <= most {
		return nil
	}
	return &engine.LimitError{Limit: what, Value: value, Max: most}
}

func guardProduct(_ []*ast.Term, call *rego.BuiltinCall) error {
	if len(call.Arguments) != 2 {
		return nil
	}
	return exceeds("pairs of bytes of arguments", int64(len(call.Arguments[0]))*int64(len(call.Arguments[1])), maxPairs)
}

func guardExpansion(operands []*ast.Term, _ *rego.BuiltinCall) error {
	if len(operands) != 1 {
		return nil
	}
	text, _ := operands[0].Value.(ast.String)
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return nil //nolint:nilerr // the function says what is wrong
	}
	return exceeds("bits of addresses", int64(prefix.Addr().BitLen()-prefix.Bits()), 16)
}

func guardRange(operands []*ast.Term, _ *rego.BuiltinCall) error {
	var numbers []*big.Int
	for _, operand := range operands {
		text, _ := operand.Value.(ast.Number)
		n, ok := new(big.Int).SetString(string(text), 10)
		if !ok {
			return nil
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != 3 || numbers[2].Sign() <= 0 {
		return nil
	}
	count := new(big.Int).Sub(numbers[1], numbers[0])
	count.Quo(count.Abs(count), numbers[2])
	if !count.IsInt64() {
		return fmt.Errorf("a range of %s elements is too large", count)
	}
	return exceeds("elements of a range", count.Int64(), maxElements)
}

// guardReplacement reckons with a match at each byte, and with each two bytes of the
// replacement standing for the whole of the text.
func guardReplacement(operands []*ast.Term, call *rego.BuiltinCall) error {
	if len(operands) != 3 {
		return nil
	}
	text, _ := operands[0].Value.(ast.String)
	replacement, _ := operands[2].Value.(ast.String)
	return exceeds("bytes that a replacement may come to", int64(len(text)+1)*int64(len(replacement)), 64*call.Limit)
}

// guardFormat adds up the widths of a format, each of which the standard library takes
// for at most a million, and what arguments come to that are used again by their number.
func guardFormat(operands []*ast.Term, call *rego.BuiltinCall) error {
	const most = 1_000_000
	if len(operands) != 2 {
		return nil
	}
	format, _ := operands[0].Value.(ast.String)
	total, number := int64(strings.Count(string(format), "["))*int64(len(call.Arguments[1])), int64(0)
	for _, c := range []byte(format) {
		switch {
		case c >= '0' && c <= '9':
			number = min(10*number+int64(c-'0'), most)
		case c == '*':
			total += most
		default:
			total, number = total+number, 0
		}
	}
	return exceeds("bytes of formatted text", total+number, max(4*call.Limit, most))
}
