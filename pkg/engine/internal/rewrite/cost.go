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

import "github.com/wasm-admission/wasm-admission/internal/wasm"

const (
	// inlineCost is the maximum cost of calling an unmetered function. Callers pay that cost; a
	// function that may cost more pays for itself at its entry. Small functions therefore stay free
	// of metering. A caller overpays by at most this bound when such a function returns early.
	inlineCost = 200
	// pathCost is the maximum cost of a path between two charges.
	pathCost = 10_000
	// returnCost is the maximum cost of a path after a call that may have nested deeply. It is
	// smaller than pathCost because the returns from a deep stack follow one another without any
	// other charge in between.
	returnCost = 300
	// localsPerUnit is the number of locals that are zeroed for one unit.
	localsPerUnit = 8
)

// coster computes the costs of functions, one after another. A forward pass over a function's code
// finds the places that check the fuel, and records how the code flows. A backward pass over these
// records computes what each place pays; see flow.go. The package comment describes the scheme.
type coster struct {
	r      *rewriter
	cursor *wasm.Cursor
	// works holds, for each node of the call graph, the maximum work of a call during which the
	// callee does not check the fuel. calls holds the part of it that the caller pays.
	works, calls []int64
	// deep marks the nodes of the call graph that can reach a metered function.
	deep []bool

	sites   []site
	regions []region
	labels  []label
	// at is the path to the current point.
	at path
	// most is the highest cost at which a path outside of all loops ends, or makes a call that can
	// reach a metered function.
	most int64
	// units is the cost of the code since the last record.
	units int64
	// flow holds the records, and targets the targets of br_table records among them.
	flow    []flow
	targets []uint32
	// ahead is the state of the backward pass.
	ahead ahead
	// bulk is set if the function has bulk operations, and tight if it has tight loops.
	bulk, tight bool
	// replaced lists the scratch locals that the function needs for replaced instructions.
	replaced replaced
	// ways are the sites on the ways into and out of the innermost loop, if it is tight so far.
	ways []int
	// limited is set if the function takes stack. stacks holds, for each node of the call graph,
	// how much stack a call takes.
	limited bool
	stacks  []int64
	// values is the number of values from the function's calls and blocks beyond those that the
	// length of its code accounts for.
	values int64
}

// function analyzes a function. It leaves its sites in c.sites, starting with that of the entry,
// and the maximum work of its outermost region in c.most. It returns the cost to pay for that
// region at the entry.
func (c *coster) function(node uint32, body *wasm.Body) (int64, error) {
	t := c.r.functionType(c.r.imported + node)
	c.sites = append(c.sites[:0], site{kind: siteNone})
	if c.limited {
		c.sites[0].kind = siteEnter
	}
	c.regions = append(c.regions[:0], region{})
	c.labels = append(c.labels[:0], label{join: dead, values: len(t.Results)})
	c.flow, c.targets = c.flow[:0], c.targets[:0]
	c.units = int64(body.Locals)/localsPerUnit + int64(len(t.Results))
	c.at, c.most = path{cost: c.units, limit: pathCost}, 0
	c.bulk, c.tight = false, false
	c.replaced, c.values = 0, 0
	c.cursor.Reset(body, len(t.Params))
	for in := (wasm.Instruction{}); c.cursor.Next(&in); {
		if in.Op < wasm.OpDrop || in.Op == wasm.OpMemoryGrow || in.Op >= wasm.OpRefNull {
			c.step(&in)
		} else {
			c.add(&in, 1)
		}
		if c.r.options.ReplaceMiscompiled {
			c.replace(&in)
		}
	}
	if err := c.cursor.Err(); err != nil {
		return 0, err
	}
	return c.price(), nil
}

// signature sets the cost of an indirect call: that of the most expensive function it may reach.
func (c *coster) signature(node uint32) {
	for _, member := range c.r.graph.successors(node) {
		c.calls[node] = max(c.calls[node], c.calls[member])
		c.works[node] = max(c.works[node], c.works[member])
	}
	// References from outside may refer to functions of other modules.
	c.deep[node] = c.deep[node] || c.r.facts.escapes
}

// step accounts for an instruction that may cost more than one unit of straight code.
func (c *coster) step(in *wasm.Instruction) {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		c.open(in)
	case wasm.OpElse:
		c.otherwise(in)
	case wasm.OpEnd:
		if c.limited && len(c.labels) == 1 {
			c.sites = append(c.sites,
				site{kind: siteLeave, start: uint32(in.Start), end: uint32(in.Start)})
		}
		c.close(in)
	case wasm.OpBr, wasm.OpBrTable:
		targets := c.cursor.Targets()
		if in.Op == wasm.OpBr {
			targets = []uint32{in.X}
		}
		c.add(in, 1)
		c.wayOut(in, targets...)
		c.branch(in, targets...)
		c.at = dead
	case wasm.OpBrIf:
		c.add(in, 1)
		c.wayOut(in, in.X)
		c.branchIf(in)
	case wasm.OpBrOnNull, wasm.OpBrOnNonNull:
		c.add(in, 1)
		c.loosen()
		c.branchIf(in)
	case wasm.OpUnreachable:
		c.trap(in)
	case wasm.OpReturn:
		c.add(in, 1)
		c.wayOut(in, uint32(len(c.labels)-1))
		if c.limited {
			c.sites = append(c.sites, site{
				kind:  siteReturn,
				start: uint32(in.Start),
				end:   uint32(in.End),
				x:     uint32(len(c.labels) - 1),
			})
		}
		c.leave(in)
	case wasm.OpCall, wasm.OpCallIndirect, wasm.OpCallRef:
		c.call(in)
	case wasm.OpReturnCall, wasm.OpReturnCallIndirect, wasm.OpReturnCallRef:
		c.call(in)
		c.leave(in)
	case wasm.OpRefFunc:
		c.add(in, 1)
		c.sites = append(c.sites, functionSite(in))
	default:
		c.addWork(in, workOf(in.Op), 1)
		if isBulk(in.Op) {
			c.bulk = true
			c.loosen()
			c.sites = append(c.sites, site{
				kind:  siteBulk,
				start: uint32(in.Start),
				end:   uint32(in.End),
				x:     in.X,
				op:    in.Op,
			})
		}
	}
}

// workOf returns the work of an instruction that is a single step. memory.grow and table.grow pay
// for the work of growing themselves.
func workOf(op wasm.Opcode) int64 {
	if op == wasm.OpMemoryGrow || op == wasm.OpTableGrow {
		return growCost
	}
	return 1
}

// add adds an instruction to the current path, which pays for it in full.
func (c *coster) add(in *wasm.Instruction, cost int64) { c.addWork(in, cost, cost) }

// addWork adds an instruction with some work to the current path, which pays cost for it
// beforehand. If the path would become too long, it adds a checkpoint before the instruction. A
// checkpoint checks the fuel.
func (c *coster) addWork(in *wasm.Instruction, work, cost int64) {
	if c.at.cost < 0 {
		return
	}
	if c.at.since > 0 && c.at.since+work > c.at.limit {
		c.loosen()
		c.note(flow{kind: flowLook, site: uint32(len(c.sites))})
		c.sites = append(c.sites, chargeSite(in.Start, 0))
		c.at = path{cost: c.at.cost - c.at.since, limit: pathCost}
	}
	c.at.cost += work
	c.at.since += work
	c.units += cost
}

// call accounts for a call.
func (c *coster) call(in *wasm.Instruction) {
	c.loosen()
	c.values += extraValues(c.yields(in))
	deep := false
	if node, known := c.callee(in); known {
		deep = c.deep[node]
		c.addWork(in, 1+c.works[node], 1+c.calls[node])
	} else {
		t := c.r.functionType(in.X)
		c.add(in, 1+int64(len(t.Params)+len(t.Results)))
	}
	if c.limited && in.Op != wasm.OpCall && in.Op != wasm.OpCallIndirect &&
		in.Op != wasm.OpCallRef {
		c.sites = append(c.sites,
			site{kind: siteTailCall, start: uint32(in.Start), end: uint32(in.Start)})
	}
	if in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall {
		c.sites = append(c.sites, functionSite(in))
	}
	if deep && c.at.cost >= 0 {
		// The path begins anew after the call, but with a low limit, because such calls may nest as
		// deep as the stack allows.
		outermost := c.at.cost
		if len(c.regions) > 1 {
			outermost = c.regions[0].suspended.cost
		}
		c.most = max(c.most, outermost)
		c.at.since, c.at.limit = 0, returnCost
	}
}

// callee returns the call graph node that an instruction calls. known is false if it calls the
// host.
func (c *coster) callee(in *wasm.Instruction) (node uint32, known bool) {
	if in.Op != wasm.OpCall && in.Op != wasm.OpReturnCall {
		return c.r.graph.signatureNode(in.X), true
	}
	return in.X - c.r.imported, in.X >= c.r.imported
}

// yields returns the number of results of a call.
func (c *coster) yields(in *wasm.Instruction) int {
	if in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall {
		return len(c.r.functionType(in.X).Results)
	}
	return len(c.r.module.Types[in.X].Results)
}
