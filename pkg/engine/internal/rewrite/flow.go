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

// The cost of code depends on what follows it. The forward pass over the code therefore leaves
// records. The backward pass over the records computes for each point what lies ahead: the cost of
// the most expensive path to the next checkpoint or to the end of the region. The region's head, or
// a checkpoint, pays what lies ahead of it.
//
// Where paths fork, the cheaper path would therefore pay for the more expensive one, even if that
// rarely runs. Error handling, for example, can take hundreds of instructions that almost never
// run. If the difference between the paths, the slack, is large, the more expensive path pays the
// slack at its own beginning. That payment does not check the fuel. This saves time, and it is safe
// because it does not change the work between two checks.

// slackCost is the minimum difference at which the more expensive of two paths pays the difference
// itself. Each payment takes time, so small differences are not worth one.
const slackCost = 64

// flow is a record of how the code of a function flows.
type flow struct {
	kind flowKind
	// apart is set if the code before the end of this block does not continue there, or if a
	// br_table branches there.
	apart bool
	// site is the index of a site that can pay after the instruction, if a path begins there. It
	// can also be the index of a checkpoint or of a loop's head.
	site uint32
	// first is the target of a flowBranchIf. A flowBranch has its targets in coster.targets, from
	// first up to last.
	first, last uint32
	// cost is the cost of the code between the previous record and this one.
	cost int64
}

type flowKind uint8

const (
	// flowLast is the end of the function, and flowLook a checkpoint.
	flowLast flowKind = iota
	flowLook
	flowBlock
	flowIf
	flowElse
	flowEnd
	flowLoop
	flowLoopEnd
	flowBranch
	flowBranchIf
	// flowTrap ends a path with a trap.
	flowTrap
)

// note adds a record.
func (c *coster) note(f flow) {
	f.cost, c.units = c.units, 0
	c.flow = append(c.flow, f)
}

// place adds a site that may have to pay.
func (c *coster) place(at int) uint32 {
	c.sites = append(c.sites, site{kind: siteNone, start: uint32(at), end: uint32(at)})
	return uint32(len(c.sites) - 1)
}

// ahead is the state of the backward pass over a function's records.
type ahead struct {
	// now is what lies ahead of the current point.
	now     int64
	labels  []aheadLabel
	regions []aheadRegion
}

type aheadLabel struct {
	// region is the region in which code continues after a branch to this label.
	region int
	// at is what lies ahead after the end of the block. other is what lies ahead if the condition
	// of an if is false. otherSite is the site that can pay for that, or 0.
	at, other int64
	otherSite uint32
}

type aheadRegion struct {
	tight bool
	// exit is what the enclosing region must pay for the most expensive way out of this one.
	exit int64
}

// price runs the backward pass and puts costs into the sites. It returns what lies ahead of the
// function's entry.
func (c *coster) price() int64 {
	a := &c.ahead
	a.now = 0
	a.regions = append(a.regions[:0], aheadRegion{})
	a.labels = append(a.labels[:0], aheadLabel{})
	for i := len(c.flow) - 1; i >= 0; i-- {
		c.back(&c.flow[i])
		a.now += c.flow[i].cost
	}
	return a.now
}

// back processes one record.
func (c *coster) back(f *flow) {
	a := &c.ahead
	switch f.kind {
	case flowLast:
	case flowLook:
		c.sites[f.site].cost = a.now
		a.now = 0
	case flowTrap:
		a.now = 0
	case flowBranch:
		a.now = 0
		for _, depth := range c.targets[f.first:f.last] {
			a.now = max(a.now, a.to(depth))
		}
	case flowBranchIf:
		taken := a.to(f.first)
		// A branch out of a loop is taken at most once, however often the loop iterates, so no
		// iteration should pay for it.
		if !a.leaves(f.first) {
			a.now = c.slack(f.site, a.now, taken)
		}
		a.now = max(a.now, taken)
	default:
		c.backBlock(f)
	}
}

// backBlock processes the record of a beginning or an end of a block.
func (c *coster) backBlock(f *flow) {
	a := &c.ahead
	last := len(a.labels) - 1
	switch f.kind {
	case flowEnd:
		if f.apart {
			a.now = c.slack(f.site, a.now, 0)
		}
		a.labels = append(a.labels, aheadLabel{region: len(a.regions) - 1, at: a.now, other: a.now})
	case flowElse:
		l := &a.labels[last]
		l.other, l.otherSite = a.now, f.site
		a.now = l.at
	case flowIf:
		l := &a.labels[last]
		least := min(a.now, l.other)
		a.now = c.slack(f.site, a.now, least)
		if l.otherSite > 0 {
			l.other = c.slack(l.otherSite, l.other, least)
		}
		a.now = max(a.now, l.other)
		a.labels = a.labels[:last]
	case flowBlock:
		a.labels = a.labels[:last]
	case flowLoopEnd:
		r := aheadRegion{tight: c.sites[f.site].kind == siteTurn}
		if !f.apart {
			r.exit = a.now
		}
		a.regions = append(a.regions, r)
		a.labels = append(a.labels, aheadLabel{region: len(a.regions) - 1})
		a.now = 0
	case flowLoop:
		c.sites[f.site].cost = a.now
		a.now = a.regions[len(a.regions)-1].exit
		a.labels, a.regions = a.labels[:last], a.regions[:len(a.regions)-1]
	}
}

// leaves reports whether a branch leaves the current loop.
func (a *ahead) leaves(depth uint32) bool {
	return a.labels[len(a.labels)-1-int(depth)].region < len(a.regions)-1
}

// to returns what lies ahead after a branch to a label. If the label is in an outer region, that
// region pays.
func (a *ahead) to(depth uint32) int64 {
	l := &a.labels[len(a.labels)-1-int(depth)]
	if l.region == len(a.regions)-1 {
		return l.at
	}
	inner := &a.regions[l.region+1]
	inner.exit = max(inner.exit, l.at)
	return 0
}

// slack makes a site pay the amount above least, if that is large, and returns what then lies
// ahead. It leaves tight loops alone: they contain little, and payments take the most time there.
func (c *coster) slack(n uint32, cost, least int64) int64 {
	if r := c.ahead.regions; cost-least <= slackCost || r[len(r)-1].tight {
		return cost
	}
	s := &c.sites[n]
	s.kind, s.cost = siteSlack, cost-least
	return least
}
