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
	"context"
	"fmt"
	"math/bits"
	"runtime"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Functions run in the host's process, where the guest's fuel and memory do not limit them. Most
// cannot be interrupted. The host therefore computes the maximum cost of a call from its arguments.
// It refuses calls that cost too much, and charges for all others.
const (
	// maxWork is the maximum cost of a call in fuel: about a tenth of a second.
	maxWork = 1_000_000_000
	// maxMemory is the maximum memory of a call beside its arguments, in bytes. The collector lets
	// the heap grow to about twice the live memory.
	maxMemory = 16 << 20
	// maxArgumentBytes is the maximum total length of a call's arguments.
	maxArgumentBytes = 2 << 20

	// callWork is the fuel for each call. byteWork and elementWork are the fuel for reading a byte
	// and a value.
	callWork    = 10_000
	byteWork    = 50
	elementWork = 2_000
)

// price is the maximum cost of a call: units of fuel and bytes of memory. Err is set for a call
// that must be refused.
type price struct {
	work, memory int64
	err          error
}

// pricing computes the price of a call.
type pricing func(*priced) price

// check returns an error for a price that is too high.
func (p price) check() error {
	if p.err != nil {
		return p.err
	}
	if err := exceeds("units of fuel for one call", p.work, maxWork); err != nil {
		return err
	}
	return exceeds("bytes of memory for one call", p.memory, maxMemory)
}

// priced is a call with the data that determines its price.
type priced struct {
	operands []*ast.Term
	// texts are the operands as the guest prints them, and bytes is their total length.
	texts [][]byte
	bytes int64
	counts
	shared *topdown.BuiltinContext
}

// newPriced parses the arguments of a call, and charges the guest for the work.
func newPriced(call *rego.BuiltinCall, arity int) (*priced, error) {
	if len(call.Arguments) != arity {
		return nil, fmt.Errorf("it takes %d arguments, not %d", arity, len(call.Arguments))
	}
	c := &priced{texts: call.Arguments}
	for _, text := range call.Arguments {
		c.bytes += int64(len(text))
	}
	if err := exceeds("bytes of arguments", c.bytes, maxArgumentBytes); err != nil {
		return nil, err
	}
	if err := call.Burn(callWork + byteWork*c.bytes); err != nil {
		return nil, err
	}
	for n, text := range call.Arguments {
		value, err := parseValue(text, &c.counts)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", n, err)
		}
		c.operands = append(c.operands, ast.NewTerm(value))
	}
	c.shared = contextOf(call)
	return c, call.Burn(elementWork * (c.elements + c.collisions))
}

// text returns a string operand. It returns an empty string for an operand of another type, about
// which the function itself reports an error.
func (c *priced) text(n int) string {
	text, _ := c.operands[n].Value.(ast.String)
	return string(text)
}

// size returns the number of values in an operand.
func (c *priced) size(n int) int64 { return elements(c.operands[n].Value) }

// linear returns the pricing of a function whose cost is proportional to the bytes of its
// arguments.
func linear(work, memory int64) pricing {
	return func(c *priced) price { return price{work: work * c.bytes, memory: memory * c.bytes} }
}

func refused(err error) price { return price{err: err} }

func exceeds(what string, value, most int64) error {
	if value <= most {
		return nil
	}
	return &engine.LimitError{Limit: what, Value: value, Max: most}
}

// times multiplies non-negative factors. The product is capped at 1<<60.
func times(factors ...int64) int64 {
	product := uint64(1)
	for _, factor := range factors {
		high, low := bits.Mul64(product, uint64(factor))
		if product = min(low, 1<<60); high > 0 {
			product = 1 << 60
		}
		if factor == 0 {
			return 0
		}
	}
	return int64(product)
}

// elements returns the number of values in a value, at all levels.
func elements(value ast.Value) (count int64) {
	ast.WalkTerms(ast.NewTerm(value), func(*ast.Term) bool {
		count++
		return false
	})
	return count
}

// smallMemory is the memory up to which any number of calls may run at a time. Of the larger calls,
// only as many run at a time as there are processors. This bounds their total memory.
const smallMemory = 1 << 20

var large = make(chan struct{}, runtime.GOMAXPROCS(0))

// enter waits until a call may take this much memory. The caller calls leave afterwards.
func enter(ctx context.Context, memory int64) (leave func(), err error) {
	if memory <= smallMemory {
		return func() {}, nil
	}
	select {
	case large <- struct{}{}:
		return func() { <-large }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
