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

// path stands for all paths from the head of a region to a point in it.
type path struct {
	// cost is the highest cost of these paths, less what was done before checkpoints on them. It is negative if there is
	// no path.
	cost int64
	// since is the highest cost of these paths since something last looked at the fuel, or may have.
	since int64
	// limit is how high since may become before a checkpoint looks at the fuel.
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
	// tight says that this is a loop in which the fuel can be in a local.
	tight bool
}

// label is an open block.
type label struct {
	// region is the region in which code goes on after a branch to this label.
	region int
	// loop says that a branch to this label is a turn of the loop whose region that is.
	loop bool
	// elseMissing says that this is an if without an else so far, and table that a br_table leads here.
	elseMissing, table bool
	// values is how many values a branch to this label takes along.
	values int
	// entry is the path to the branches of an if; join is the path by branches to the end of the block.
	entry, join path
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
			c.note(flow{kind: flowIf, site: c.place(in.End)})
			return
		}
		c.note(flow{kind: flowBlock})
		return
	}
	// Behind the loop it does not matter what led to it, but the loop may have called deep.
	c.regions[current].suspended = path{cost: c.at.cost, limit: returnCost}
	c.wayIn(in)
	c.labels = append(c.labels, label{region: current + 1, loop: true, values: takes})
	c.note(flow{kind: flowLoop, site: uint32(len(c.sites))})
	c.regions = append(c.regions, region{head: len(c.sites), tight: true})
	c.sites = append(c.sites, chargeSite(in.End, 0))
	c.units = 1 + values
	c.at = path{cost: c.units, since: c.units, limit: pathCost}
}

// branch accounts for a branch from the current point to one of several labels, whatever happens.
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

// branchIf accounts for a branch to a label that may not be taken.
func (c *coster) branchIf(in *wasm.Instruction) {
	if c.at.cost < 0 {
		return
	}
	c.join(&c.labels[len(c.labels)-1-int(in.X)])
	c.note(flow{kind: flowBranchIf, first: in.X, site: c.place(in.End)})
}

// join has the current path go on behind a branch to a label. One out of loops goes on with the path that was suspended there.
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

// trap ends the current path by a trap.
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

// close ends a block, or the function.
func (c *coster) close(in *wasm.Instruction) {
	l := &c.labels[len(c.labels)-1]
	c.labels = c.labels[:len(c.labels)-1]
	if l.loop {
		c.closeLoop(in)
		return
	}
	// Go's compiler makes a loop with a br_table of each function, and an end of a block of each place behind a call or a
	// branch. Code that falls through to such an end pays as the br_table does.
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
