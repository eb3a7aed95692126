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
	"math"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

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
	// foldedCost is the most that a loop may pay in addition on every turn in place of a charge at the entry of its
	// function.
	foldedCost = 64
	// localsPerUnit is how many locals are zeroed for one unit.
	localsPerUnit = 8
)

// site is a place in a body where the rewrite changes something. Sites are in the order of the code.
type site struct {
	kind siteKind
	// start and end delimit the instruction that is replaced; they are equal where something is only inserted.
	start, end uint32
	// cost is what a charge pays.
	cost int64
	// x is the function index of a siteFunction and the first index of a siteBulk, op the opcode of both, and of a
	// siteReplaced.
	x  uint32
	op wasm.Opcode
}

type siteKind uint8

const (
	siteCharge siteKind = iota
	// siteFunction is an instruction with a function index.
	siteFunction
	// siteBulk is an instruction that pays by an operand.
	siteBulk
	// siteEnter is where a function pays and takes from the stack, and siteLeave its end, where it gives back. On the way out go
	// also siteReturn, a return that becomes a branch to label x, and siteTailCall, before a tail call.
	siteEnter
	siteLeave
	siteReturn
	siteTailCall
	// siteLoad is before a tight loop, where the fuel goes from its global into a local, siteTurn at the loop's head. The
	// fuel goes back at every siteStore, and at every siteBranch, a br_if to label x, if it is taken. See tight.go.
	siteLoad
	siteTurn
	siteStore
	siteBranch
	// siteReplaced is an instruction in whose place go others; see replace.go.
	siteReplaced
	// siteNone is one that turned out not to be needed.
	siteNone
)

func chargeSite(at int, cost int64) site {
	return site{start: uint32(at), end: uint32(at), cost: cost}
}

func functionSite(in *wasm.Instruction) site {
	return site{kind: siteFunction, start: uint32(in.Start), end: uint32(in.End), x: in.X, op: in.Op}
}

// growth bounds the bytes by which a site makes the code longer.
func (s *site) growth() int {
	switch s.kind {
	case siteFunction:
		return 5
	case siteBulk:
		return 190
	case siteEnter:
		return 100
	case siteReplaced:
		if isAnd(s.op) {
			return 3 // there may be many
		}
	}
	return 80
}

// path stands for all paths from the head of a region to a point in it.
type path struct {
	// cost is the highest cost of these paths, less what checkpoints on them have paid. It is negative if there is
	// no path.
	cost int64
	// since is the highest cost of these paths since their last charge or deep call.
	since int64
	// limit is how high since may become before a checkpoint pays it.
	limit int64
}

// dead is the path to a point that cannot be reached.
var dead = path{cost: math.MinInt64}

// join returns the path to a point at which two meet.
func (p path) join(q path) path {
	switch {
	case p.cost < 0:
		return q
	case q.cost < 0:
		return p
	}
	return path{cost: max(p.cost, q.cost), since: max(p.since, q.since), limit: min(p.limit, q.limit)}
}

// region is a part of a function that is paid at one head: the function outside of all its loops, or one turn of a
// loop outside of the loops in it.
type region struct {
	// head is the index of the site that pays.
	head int
	// suspended is the path with which the region goes on behind the loop that is open in it.
	suspended path
	// most is the highest cost with which a path leaves the region, goes back to its head or calls deep.
	most int64
	// exits is the outermost region that a branch or deep call in this one leaves: those from there on inwards
	// have to pay for their suspended path.
	exits int
	// tight says that this is a loop in which the fuel can be in a local.
	tight bool
}

// label is an open block.
type label struct {
	// region is the region in which code goes on after a branch to this label.
	region int
	// loop says that a branch to this label is a turn of the loop whose region that is.
	loop bool
	// elseMissing says that this is an if without an else so far.
	elseMissing bool
	// values is how many values a branch to this label takes along.
	values int
	// entry is the path to the branches of an if; join is the path by branches to the end of the block.
	entry, join path
}

// coster computes what the code of one function after another costs: the highest number of instructions on any path
// through a region, with the cost of the unmetered functions that it calls. See the package comment for the scheme.
type coster struct {
	r      *rewriter
	cursor *wasm.Cursor
	// calls holds for each node of the call graph what a call of it costs the caller.
	calls []int64
	// deep marks the nodes of the call graph from which a metered function can be reached.
	deep []bool

	sites   []site
	regions []region
	labels  []label
	// at is the path to the current point.
	at path
	// straight says that every run of the function has come to the current point, and has called nothing on the way.
	straight bool
	// first is the site of the loop that every run of the function enters first, or -1.
	first int
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

// function analyses a function and leaves its sites in c.sites, the one of its entry first. It returns the cost of its
// outermost region.
func (c *coster) function(node uint32, body *wasm.Body) (int64, error) {
	t := c.r.functionType(c.r.imported + node)
	c.sites = append(c.sites[:0], site{})
	if c.limited {
		c.sites[0].kind = siteEnter
	}
	c.regions = append(c.regions[:0], region{})
	c.labels = append(c.labels[:0], label{join: dead, values: len(t.Results)})
	c.at = path{cost: int64(body.Locals)/localsPerUnit + int64(len(t.Results)), limit: pathCost}
	c.straight, c.first, c.bulk, c.tight = true, -1, false, false
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
	return c.regions[0].most, c.cursor.Err()
}

// signature sets what an indirect call costs: as much as the dearest function that it may reach.
func (c *coster) signature(node uint32) {
	for _, member := range c.r.graph.successors(node) {
		c.calls[node] = max(c.calls[node], c.calls[member])
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
		l := &c.labels[len(c.labels)-1]
		l.join = l.join.join(c.at)
		l.elseMissing = false
		c.at = l.entry
	case wasm.OpEnd:
		if c.limited && len(c.labels) == 1 {
			c.sites = append(c.sites, site{kind: siteLeave, start: uint32(in.Start), end: uint32(in.Start)})
		}
		c.close(in)
	case wasm.OpBr:
		c.jump(in, in.X)
		c.at = dead
	case wasm.OpBrIf:
		c.jump(in, in.X)
	case wasm.OpBrOnNull, wasm.OpBrOnNonNull:
		c.add(in, 1)
		c.loosen()
		c.branch(in.X)
	case wasm.OpBrTable:
		c.jump(in, c.cursor.Targets()...)
		c.at = dead
	case wasm.OpReturn, wasm.OpUnreachable:
		c.add(in, 1)
		if in.Op == wasm.OpReturn {
			c.wayOut(in, uint32(len(c.labels)-1))
		}
		if c.limited && in.Op == wasm.OpReturn {
			c.sites = append(c.sites, site{kind: siteReturn, start: uint32(in.Start), end: uint32(in.End), x: uint32(len(c.labels) - 1)})
		}
		c.leave()
	case wasm.OpCall, wasm.OpCallIndirect, wasm.OpCallRef:
		c.call(in)
	case wasm.OpReturnCall, wasm.OpReturnCallIndirect, wasm.OpReturnCallRef:
		c.call(in)
		c.leave()
	case wasm.OpRefFunc:
		c.add(in, 1)
		c.sites = append(c.sites, functionSite(in))
	default:
		c.add(in, unitsOf(in.Op))
		if isBulk(in.Op) {
			c.bulk = true
			c.loosen()
			c.sites = append(c.sites, site{kind: siteBulk, start: uint32(in.Start), end: uint32(in.End), x: in.X, op: in.Op})
		}
	}
}

// unitsOf is what an instruction costs that is no more than one step.
func unitsOf(op wasm.Opcode) int64 {
	if op == wasm.OpMemoryGrow || op == wasm.OpTableGrow {
		return growCost
	}
	return 1
}

// add adds the cost of an instruction to the current path. Where the path has become too long, a checkpoint before
// the instruction pays for it since its last charge; the head pays for the rest.
func (c *coster) add(in *wasm.Instruction, cost int64) {
	if c.at.cost < 0 {
		return
	}
	if c.at.since > 0 && c.at.since+cost > c.at.limit {
		c.loosen()
		c.sites = append(c.sites, chargeSite(in.Start, c.at.since))
		c.at = path{cost: c.at.cost - c.at.since, limit: pathCost}
	}
	c.at.cost += cost
	c.at.since += cost
}

func (c *coster) call(in *wasm.Instruction) {
	c.straight = false
	c.loosen()
	deep := false
	c.values += extraValues(c.yields(in))
	switch {
	case in.Op != wasm.OpCall && in.Op != wasm.OpReturnCall:
		node := c.r.graph.signatureNode(in.X)
		deep = c.deep[node]
		c.add(in, 1+c.calls[node])
	case in.X >= c.r.imported:
		node := in.X - c.r.imported
		deep = c.deep[node]
		c.add(in, 1+c.calls[node])
	default:
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
		// What led to the call has to be paid before it: the calls may be nested as deep as the stack goes.
		top := &c.regions[len(c.regions)-1]
		top.most = max(top.most, c.at.cost)
		top.exits = 0
		c.at.since, c.at.limit = 0, returnCost
	}
}

// yields is how many results a call has.
func (c *coster) yields(in *wasm.Instruction) int {
	if in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall {
		return len(c.r.functionType(in.X).Results)
	}
	return len(c.r.module.Types[in.X].Results)
}

// open starts a block. Values that a block takes and yields are paid here, as a branch may move all of them.
func (c *coster) open(in *wasm.Instruction) {
	takes, yields := 0, int(in.Y)
	if in.X != wasm.NoType {
		t := &c.r.module.Types[in.X]
		takes, yields = len(t.Params), len(t.Results)
	}
	values := int64(takes + yields)
	c.values += extraValues(takes) + extraValues(yields)
	current := len(c.regions) - 1
	if in.Op != wasm.OpLoop {
		c.add(in, 1+values)
		c.labels = append(c.labels, label{region: current, join: dead, values: yields})
		if in.Op == wasm.OpIf {
			l := &c.labels[len(c.labels)-1]
			l.elseMissing, l.entry = true, c.at
			c.straight = false
		}
		return
	}
	if c.straight {
		c.first = len(c.sites) + 1 // behind the way in
		c.straight = false
	}
	// Behind the loop it does not matter what led to it, but the loop may have called deep.
	c.regions[current].suspended = path{cost: c.at.cost, limit: returnCost}
	c.wayIn(in)
	c.regions = append(c.regions, region{head: len(c.sites), exits: current + 1, tight: true})
	c.labels = append(c.labels, label{region: current + 1, loop: true, values: takes})
	c.sites = append(c.sites, chargeSite(in.End, 0))
	c.at = path{cost: 1 + values, since: 1 + values, limit: pathCost}
}

// jump accounts for an instruction that branches to one of several labels.
func (c *coster) jump(in *wasm.Instruction, targets ...uint32) {
	c.add(in, 1)
	c.wayOut(in, targets...)
	for _, target := range targets {
		c.branch(target)
	}
}

// branch accounts for a branch from the current point to a label. A branch out of loops leaves their regions, but only
// the innermost one is looked at here: in the others the path is suspended, so they are settled when they are closed.
func (c *coster) branch(depth uint32) {
	c.straight = false
	if c.at.cost < 0 {
		return
	}
	l := &c.labels[len(c.labels)-1-int(depth)]
	current := len(c.regions) - 1
	top := &c.regions[current]
	switch {
	case l.loop:
		top.most = max(top.most, c.at.cost)
		top.exits = min(top.exits, l.region)
	case l.region == current:
		l.join = l.join.join(c.at)
	default:
		top.most = max(top.most, c.at.cost)
		top.exits = min(top.exits, l.region+1)
		l.join = l.join.join(c.regions[l.region].suspended)
	}
}

// leave ends the current path by leaving the function, or by a trap.
func (c *coster) leave() {
	c.branch(uint32(len(c.labels) - 1))
	c.at = dead
}

// close ends a block, or the function.
func (c *coster) close(in *wasm.Instruction) {
	l := &c.labels[len(c.labels)-1]
	c.labels = c.labels[:len(c.labels)-1]
	if !l.loop {
		c.at = c.at.join(l.join)
		if l.elseMissing {
			c.at = c.at.join(l.entry)
		}
		if len(c.labels) == 0 {
			c.regions[0].most = max(c.regions[0].most, c.at.cost)
		}
		return
	}
	inner := c.regions[len(c.regions)-1]
	c.regions = c.regions[:len(c.regions)-1]
	outer := &c.regions[len(c.regions)-1]
	c.sites[inner.head].cost = max(inner.most, c.at.cost)
	if inner.tight {
		c.closeTight(in, inner.head)
	}
	if inner.exits < len(c.regions) {
		outer.most = max(outer.most, outer.suspended.cost)
		outer.exits = min(outer.exits, inner.exits)
	}
	if c.at.cost >= 0 {
		c.at = outer.suspended
	}
}
