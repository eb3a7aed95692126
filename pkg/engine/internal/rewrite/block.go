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

// path represents all paths from the head of a region to a point in it.
type path struct {
	// cost is the highest cost of these paths, minus the work before checkpoints on them. It is
	// negative if there is no path.
	cost int64
	// since is the highest cost of these paths since the code last checked the fuel, or may have.
	since int64
	// limit is the highest value of since before a checkpoint checks the fuel.
	limit int64
}

// dead is the path to an unreachable point.
var dead = path{cost: math.MinInt64}

// join returns the path to a point where two paths meet.
func (p path) join(q path) path {
	switch {
	case p.cost < 0:
		return q
	case q.cost < 0:
		return p
	}
	return path{
		cost:  max(p.cost, q.cost),
		since: max(p.since, q.since),
		limit: min(p.limit, q.limit),
	}
}

// region is a part of a function that pays at one head: the function outside of all its loops, or
// one iteration of a loop outside of nested loops.
type region struct {
	// head is the index of the site that pays.
	head int
	// suspended is the path with which the region continues after its open inner loop.
	suspended path
	// tight is set if this is a loop that can keep the fuel in a local.
	tight bool
}

// label is an open block.
type label struct {
	// region is the region in which code continues after a branch to this label.
	region int
	// loop is set if a branch to this label starts another iteration of the region's loop.
	loop bool
	// elseMissing is set for an if without an else so far, and table if a br_table targets the
	// label.
	elseMissing, table bool
	// values is the number of values that a branch to this label takes along.
	values int
	// entry is the path to the branches of an if. join is the path by branches to the end of the
	// block.
	entry, join path
}

// open starts a block. It pays for the values that the block takes and yields, because a branch may
// move all of them.
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
			c.note(flow{kind: flowIf, site: c.place(in.End)})
			return
		}
		c.note(flow{kind: flowBlock})
		return
	}
	// After the loop, the path that led to it does not matter, but the loop may have called deep.
	c.regions[current].suspended = path{cost: c.at.cost, limit: returnCost}
	c.wayIn(in)
	c.labels = append(c.labels, label{region: current + 1, loop: true, values: takes})
	c.note(flow{kind: flowLoop, site: uint32(len(c.sites))})
	c.regions = append(c.regions, region{head: len(c.sites), tight: true})
	c.sites = append(c.sites, chargeSite(in.End, 0))
	c.units = 1 + values
	c.at = path{cost: c.units, since: c.units, limit: pathCost}
}

// branch accounts for an unconditional branch from the current point to one of several labels.
func (c *coster) branch(in *wasm.Instruction, targets ...uint32) {
	if c.at.cost < 0 {
		return
	}
	f := flow{kind: flowBranch, first: uint32(len(c.targets))}
	c.targets = append(c.targets, targets...)
	f.last = uint32(len(c.targets))
	c.note(f)
	for _, depth := range targets {
		l := &c.labels[len(c.labels)-1-int(depth)]
		c.join(l)
		l.table = l.table || in.Op == wasm.OpBrTable
	}
}

// branchIf accounts for a conditional branch to a label.
func (c *coster) branchIf(in *wasm.Instruction) {
	if c.at.cost < 0 {
		return
	}
	c.join(&c.labels[len(c.labels)-1-int(in.X)])
	c.note(flow{kind: flowBranchIf, first: in.X, site: c.place(in.End)})
}

// join continues the current path after a branch to a label. A branch out of loops continues with
// the path that was suspended there.
func (c *coster) join(l *label) {
	switch {
	case l.loop:
	case l.region == len(c.regions)-1:
		l.join = l.join.join(c.at)
	default:
		l.join = l.join.join(c.regions[l.region].suspended)
	}
}

// otherwise accounts for an else.
func (c *coster) otherwise(in *wasm.Instruction) {
	l := &c.labels[len(c.labels)-1]
	l.join = l.join.join(c.at)
	l.elseMissing = false
	c.note(flow{kind: flowElse, site: c.place(in.End)})
	c.at = l.entry
}

// trap ends the current path with a trap.
func (c *coster) trap(in *wasm.Instruction) {
	c.add(in, 1)
	if c.at.cost >= 0 {
		c.join(&c.labels[0])
		c.note(flow{kind: flowTrap})
	}
	c.at = dead
}

// leave ends the current path by leaving the function.
func (c *coster) leave(in *wasm.Instruction) {
	c.branch(in, uint32(len(c.labels)-1))
	c.at = dead
}

// close ends a block or the function.
func (c *coster) close(in *wasm.Instruction) {
	l := &c.labels[len(c.labels)-1]
	c.labels = c.labels[:len(c.labels)-1]
	if l.loop {
		c.closeLoop(in)
		return
	}
	// Go's compiler turns each function into a loop with a br_table, and each place after a call or
	// a branch into an end of a block. Code that falls through to such an end pays as the br_table
	// does.
	f := flow{kind: flowEnd, apart: c.at.cost < 0 || l.table}
	c.at = c.at.join(l.join)
	if l.elseMissing {
		c.at = c.at.join(l.entry)
	}
	if len(c.labels) == 0 {
		c.most = max(c.most, c.at.cost)
		c.note(flow{kind: flowLast})
		return
	}
	if f.apart {
		f.site = c.place(in.End)
	}
	c.note(f)
}

func (c *coster) closeLoop(in *wasm.Instruction) {
	inner := c.regions[len(c.regions)-1]
	c.regions = c.regions[:len(c.regions)-1]
	if inner.tight {
		c.closeTight(in, inner.head)
	}
	c.note(flow{kind: flowLoopEnd, site: uint32(inner.head), apart: c.at.cost < 0})
	if c.at.cost >= 0 {
		c.at = c.regions[len(c.regions)-1].suspended
	}
}
