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

// Functions run in the host's process, where neither a guest's fuel nor its memory holds
// them, and most cannot be interrupted. So the most that a call may come to is told from
// its arguments before: what is too much is refused, and all else is paid for.
const (
	// maxWork is what a call may cost, in fuel: about a tenth of a second.
	maxWork = 1_000_000_000
	// maxMemory is what a call may take beside its arguments, in bytes. The collector
	// lets the heap grow to about twice of what is in use.
	maxMemory = 16 << 20
	// maxArgumentBytes is how long the arguments of a call may be together.
	maxArgumentBytes = 2 << 20

	// callWork is the fuel that each call costs, and byteWork and elementWork what it costs
	// to read a byte and a value.
	callWork    = 10_000
	byteWork    = 50
	elementWork = 2_000
)

// price is the most that a call may come to: units of fuel and bytes of memory. Err says
// that it is out of the question.
type price struct {
	work, memory int64
	err          error
}

// pricing tells the price of a call.
type pricing func(*priced) price

// check refuses what is too much.
func (p price) check() error {
	if p.err != nil {
		return p.err
	}
	if err := exceeds("units of fuel for one call", p.work, maxWork); err != nil {
		return err
	}
	return exceeds("bytes of memory for one call", p.memory, maxMemory)
}

// priced is a call whose price is to be told.
type priced struct {
	operands []*ast.Term
	// texts are the operands as the guest prints them, and bytes their length.
	texts [][]byte
	bytes int64
	counts
	shared *topdown.BuiltinContext
}

// newPriced reads the arguments of a call, and has the guest pay for that.
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

// text is an operand if that is a string, and empty if not: the function says what is
// wrong then.
func (c *priced) text(n int) string {
	text, _ := c.operands[n].Value.(ast.String)
	return string(text)
}

// size is how many values are in an operand.
func (c *priced) size(n int) int64 { return elements(c.operands[n].Value) }

// linear is the price of a function that costs so much for each byte of its arguments.
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

// times multiplies what is not negative, to at most 1<<60.
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

// elements returns how many values there are in a value, at all levels.
func elements(value ast.Value) (count int64) {
	ast.WalkTerms(ast.NewTerm(value), func(*ast.Term) bool {
		count++
		return false
	})
	return count
}

// smallMemory is what any number of calls may take at a time. Of those that may take more,
// there are as many as processors: what they take together is bounded.
const smallMemory = 1 << 20

var large = make(chan struct{}, runtime.GOMAXPROCS(0))

// enter waits until a call may take so much memory. The caller says when it is done.
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
