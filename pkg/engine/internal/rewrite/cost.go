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
	// inlineCost is the most that a call of an unmetered function may cost. Its callers pay for it; a function that may
	// cost more pays for itself at its entry. Small functions so stay free of metering, and the bound is what a caller
	// pays too much at worst when such a function returns early.
	inlineCost = 200
	// pathCost bounds what a path may cost between two charges.
	pathCost = 10_000
	// returnCost is the same for a path behind a call that may have gone deep. It is smaller because the returns from
	// a deep stack follow one another without any other charge in between.
	returnCost = 300
	// localsPerUnit is how many locals are zeroed for one unit.
	localsPerUnit = 8
)

// coster computes what the code of one function after another costs. On the way over the code it finds the places that
// look at the fuel, and notes down how the code flows. What is paid at these places comes from the way back over the notes;
// see flow.go. See the package comment for the scheme.
type coster struct {
	r      *rewriter
	cursor *wasm.Cursor
	// works holds for each node of the call graph what a call of it may do for which nothing in it looks at the fuel, and
	// calls what of that the caller pays.
	works, calls []int64
	// deep marks the nodes of the call graph from which a metered function can be reached.
	deep []bool

	sites   []site
	regions []region
	labels  []label
	// at is the path to the current point.
	at path
	// most is the highest cost with which a path outside of all loops ends or calls deep.
	most int64
	// units is what the code costs since the last note.
	units int64
	// flow are the notes, and targets those of the br_table among them.
	flow    []flow
	targets []uint32
	// ahead is for the way back over the notes.
	ahead ahead
	// bulk says that the function has bulk operations, and tight that it has tight loops.
	bulk, tight bool
	// replaced is what the function needs for its replacements.
	replaced replaced
	// ways are the sites on the ways into and out of the innermost loop, if it is tight so far.
	ways []int
	// limited says that the function takes from the stack, and stacks holds for each node of the call graph how much a
	// call of it takes.
	limited bool
	stacks  []int64
	// values is how many values the function's calls and blocks yield that the length of its code does not stand for.
	values int64
}

// function analyses a function and leaves its sites in c.sites, the one of its entry first, and what its outermost
// region may do in c.most. It returns what has to be paid for that before it.
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

// signature sets what an indirect call costs: as much as the dearest function that it may reach.
func (c *coster) signature(node uint32) {
	for _, member := range c.r.graph.successors(node) {
		c.calls[node] = max(c.calls[node], c.calls[member])
		c.works[node] = max(c.works[node], c.works[member])
	}
	// References from outside may refer to functions of other modules.
	c.deep[node] = c.deep[node] || c.r.facts.escapes
}

// step accounts for an instruction that may be more than one unit of straight code.
func (c *coster) step(in *wasm.Instruction) {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		c.open(in)
	case wasm.OpElse:
		c.otherwise(in)
	case wasm.OpEnd:
		if c.limited && len(c.labels) == 1 {
			c.sites = append(c.sites, site{kind: siteLeave, start: uint32(in.Start), end: uint32(in.Start)})
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
			c.sites = append(c.sites, site{kind: siteReturn, start: uint32(in.Start), end: uint32(in.End), x: uint32(len(c.labels) - 1)})
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
			c.sites = append(c.sites, site{kind: siteBulk, start: uint32(in.Start), end: uint32(in.End), x: in.X, op: in.Op})
		}
	}
}

// workOf is what an instruction does that is no more than one step. One that grows something pays for that itself.
func workOf(op wasm.Opcode) int64 {
	if op == wasm.OpMemoryGrow || op == wasm.OpTableGrow {
		return growCost
	}
	return 1
}

// add adds an instruction to the current path that is paid in full.
func (c *coster) add(in *wasm.Instruction, cost int64) { c.addWork(in, cost, cost) }

// addWork adds an instruction to the current path that does some work, and has to be paid as much as given before. Where
// the path has become too long, a checkpoint before the instruction looks at the fuel.
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
	if c.limited && in.Op != wasm.OpCall && in.Op != wasm.OpCallIndirect && in.Op != wasm.OpCallRef {
		c.sites = append(c.sites, site{kind: siteTailCall, start: uint32(in.Start), end: uint32(in.Start)})
	}
	if in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall {
		c.sites = append(c.sites, functionSite(in))
	}
	if deep && c.at.cost >= 0 {
		// What led to the call does not count behind it, but little may: the calls may be nested as deep as the stack goes.
		outermost := c.at.cost
		if len(c.regions) > 1 {
			outermost = c.regions[0].suspended.cost
		}
		c.most = max(c.most, outermost)
		c.at.since, c.at.limit = 0, returnCost
	}
}

// callee is the node of the call graph that an instruction calls, unless that is the host.
func (c *coster) callee(in *wasm.Instruction) (node uint32, known bool) {
	if in.Op != wasm.OpCall && in.Op != wasm.OpReturnCall {
		return c.r.graph.signatureNode(in.X), true
	}
	return in.X - c.r.imported, in.X >= c.r.imported
}

// yields is how many results a call has.
func (c *coster) yields(in *wasm.Instruction) int {
	if in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall {
		return len(c.r.functionType(in.X).Results)
	}
	return len(c.r.module.Types[in.X].Results)
}
