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

package rewrite

import (
	"fmt"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// meter makes the code pay fuel, and shifts the function indices in it.
func (r *rewriter) meter() error {
	metered := r.entries()
	nodes := len(r.graph.seen)
	e := &emitter{r: r, fuel: r.fuelGlobal(), stack: r.stackGlobal(), blockTypes: map[string]int{}}
	c := &coster{
		r:      r,
		cursor: r.module.Cursor(),
		works:  make([]int64, nodes),
		calls:  make([]int64, nodes),
		deep:   make([]bool, nodes),
		stacks: make([]int64, nodes),
	}
	for _, node := range r.graph.order(metered) {
		c.stacks[node] = c.stackOf(node, metered)
		for _, next := range r.graph.successors(node) {
			c.deep[node] = c.deep[node] || c.deep[next] || r.graph.isMetered(next, metered)
		}
		if int(node) >= r.graph.functions {
			c.signature(node)
			continue
		}
		body := &r.module.Bodies[node]
		c.limited = metered[node]
		cost, err := c.function(node, body)
		if err != nil {
			return fmt.Errorf("function %d: %w", r.imported+node, err)
		}
		c.stacks[node] = min(c.stacks[node]+slotBytes*c.values, MaxStackBytes)
		if !metered[node] && max(c.most, cost) <= inlineCost {
			c.works[node], c.calls[node] = c.most, cost
		} else {
			c.sites[0].cost = cost
			if !c.limited {
				c.sites[0].kind = siteCharge
			}
			c.deep[node] = true
		}
		e.emit(body, c, r.functionType(r.imported+node), c.stacks[node])
	}
	e.appendPortioned()
	r.result.Charges = e.charges
	return nil
}

// entries marks the functions that can be called from outside. They pay for themselves.
func (r *rewriter) entries() []bool {
	metered := make([]bool, r.graph.functions)
	mark := func(index uint32) {
		if index >= r.imported {
			metered[index-r.imported] = true
		}
	}
	for i := range r.module.Exports {
		if e := &r.module.Exports[i]; e.Kind == wasm.ExternFunction {
			mark(e.Index)
		}
	}
	if r.module.Start != nil {
		mark(*r.module.Start)
	}
	if r.facts.escapes {
		for index, taken := range r.facts.addressTaken {
			if taken {
				mark(uint32(index))
			}
		}
	}
	return metered
}

// emitter writes rewritten bodies.
type emitter struct {
	r *rewriter
	// fuel and stack are the indices of these globals.
	fuel, stack uint32
	// blockTypes are the types added for blocks, by their results.
	blockTypes map[string]int
	// scratch is the index of the first scratch local in the current function. local is the index
	// of the local that holds the fuel in tight loops.
	scratch, local uint32
	// replacer has the current function's scratch locals for replacements.
	replacer replacer
	charges  int
	// portioned are the functions that are added to the module, in order.
	portioned []portioned
	// arena holds the code. One allocation serves many functions.
	arena []byte
}

// arenaSize is the size in bytes of one allocation for rewritten code, unless all code is less than
// half of it.
const arenaSize = 1 << 20

// declareLocals adds the locals that a function's rewritten code needs.
func (e *emitter) declareLocals(body *wasm.Body, c *coster, parameters uint32) {
	if c.bulk {
		e.scratch = parameters + body.Locals
		body.DeclareLocals(scratchLocals, wasm.ValueType{Code: wasm.I32})
	}
	if c.tight {
		e.local = parameters + body.Locals
		body.DeclareLocals(1, wasm.ValueType{Code: wasm.I64})
	}
	e.replacer.declare(body, parameters, c.replaced)
}

// emit replaces the code of body with the rewritten code. It copies the code between the sites.
func (e *emitter) emit(body *wasm.Body, c *coster, t *wasm.FuncType, stack int64) {
	e.declareLocals(body, c, uint32(len(t.Params)))
	need := len(body.Code)
	for i := range c.sites {
		need += c.sites[i].growth()
	}
	if cap(e.arena)-len(e.arena) < need {
		e.arena = make([]byte, 0, max(min(arenaSize, 2*e.r.codeBytes), need))
	}
	out := e.arena[len(e.arena):]
	copied := uint32(0)
	for i := range c.sites {
		s := &c.sites[i]
		if s.kind == siteNone {
			continue
		}
		out = append(out, body.Code[copied:s.start]...)
		copied = s.end
		switch s.kind {
		case siteFunction:
			out = wasm.AppendUint32(append(out, byte(s.op)), e.r.shift(s.x))
		case siteBulk:
			e.charges++
			out = e.appendBulk(out, s, body.Code[s.start:s.end])
		case siteEnter:
			e.charges++
			out = e.appendEnter(out, s.cost, stack, t)
		case siteReturn:
			out = wasm.AppendUint32(append(out, byte(wasm.OpBr)), s.x)
		case siteTailCall:
			out = e.appendStack(out, wasm.OpI64Add, stack)
		case siteLoad:
			out = e.appendLoad(out)
		case siteStore:
			out = e.appendStore(out)
		case siteBranch:
			out = e.appendBranch(out, s.x)
		case siteCharge, siteTurn, siteSlack:
			out = e.appendCosts(out, s)
		case siteReplaced:
			out = e.replacer.append(out, s.op)
		case siteLeave:
			out = e.appendStack(append(out, byte(wasm.OpEnd)), wasm.OpI64Add, stack)
		}
	}
	out = append(out, body.Code[copied:]...)
	e.arena = e.arena[:len(e.arena)+len(out)]
	body.Code = out[:len(out):len(out)]
}

// appendCosts appends a charge with a known cost.
func (e *emitter) appendCosts(out []byte, s *site) []byte {
	e.charges++
	switch s.kind {
	case siteTurn:
		return e.appendTurn(out, s.cost)
	case siteSlack:
		return e.appendSlack(out, s.cost)
	}
	return e.appendCharge(out, s.cost)
}

// appendCharge appends: fuel = fuel - cost; if fuel < 0, tick.
func (e *emitter) appendCharge(out []byte, cost int64) []byte {
	return e.appendPay(appendConst(e.appendFuel(out, wasm.OpGlobalGet), cost))
}

// appendSlack appends: fuel = fuel - cost.
func (e *emitter) appendSlack(out []byte, cost int64) []byte {
	return e.appendFuel(append(appendConst(e.appendFuel(out, wasm.OpGlobalGet), cost),
		byte(wasm.OpI64Sub)), wasm.OpGlobalSet)
}

// appendPay appends the rest of a charge, with fuel and cost on the stack. wazero keeps a global
// that was just set in a register, so reading it back costs no load.
func (e *emitter) appendPay(out []byte) []byte {
	out = e.appendFuel(append(out, byte(wasm.OpI64Sub)), wasm.OpGlobalSet)
	return e.appendTick(e.appendFuel(appendBlocks(out), wasm.OpGlobalGet))
}

// appendBlocks opens the blocks around the code that puts the checked value on the stack; a
// negative value requires a tick. [emitter.appendTick] closes the blocks. The way past the tick is
// a separate branch. With that, wazero 1.12 fuses the compare and the branch, and allocates
// registers after the blocks as before them, not as after the call.
func appendBlocks(out []byte) []byte {
	return append(out, byte(wasm.OpBlock), wasm.BlockTypeEmpty, byte(wasm.OpBlock),
		wasm.BlockTypeEmpty)
}

func (e *emitter) appendTick(out []byte) []byte {
	return append(wasm.AppendUint32(append(appendPast(out), byte(wasm.OpCall)), e.r.tick()),
		byte(wasm.OpEnd))
}

// appendPast appends the branches to the end of the inner block, and past it.
func appendPast(out []byte) []byte {
	return append(out, byte(wasm.OpI64Const), 0, byte(wasm.OpI64LtS), byte(wasm.OpBrIf), 0,
		byte(wasm.OpBr), 1, byte(wasm.OpEnd))
}

func appendConst(out []byte, value int64) []byte {
	return wasm.AppendInt64(append(out, byte(wasm.OpI64Const)), value)
}

func (e *emitter) appendFuel(out []byte, op wasm.Opcode) []byte {
	return wasm.AppendUint32(append(out, byte(op)), e.fuel)
}
