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

// What code costs is known only once it is known what comes behind it. So the way over the code leaves notes, and the way
// back over the notes finds out for each point what lies ahead: the cost of the dearest path to the next checkpoint or the
// end of the region. What lies ahead of a region's head or of a checkpoint is paid there.
//
// Where two ways meet that part, the cheaper one would pay for the dearer one so, however rarely that is gone: an error is
// handled in hundreds of instructions that are next to never executed. If the difference, the slack, is large, the dearer
// way pays for it at its beginning. Nothing looks at the fuel there, which takes less time, and need not: what is done
// between two looks is what it is without.

// slackCost is by how much one of two ways has to cost more than the other to pay for that itself. Each payment takes time,
// so small differences are not worth one.
const slackCost = 64

// flow is a note on how the code of a function flows.
type flow struct {
	kind flowKind
	// apart says that only branches lead to the end of this block, or a br_table.
	apart bool
	// site is the index of a site that can pay behind the instruction, if it is a place where a way begins; or that of a
	// checkpoint, or the head of a loop.
	site uint32
	// first is where a branch leads to. That with several targets has them in coster.targets, from first to last.
	first, last uint32
	// cost is what the code costs that lies between the note before and this one.
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
	// flowTrap ends a path by a trap.
	flowTrap
)

// note adds a note.
func (c *coster) note(f flow) {
	f.cost, c.units = c.units, 0
	c.flow = append(c.flow, f)
}

// place makes a site that may pay, if it turns out that it has to.
func (c *coster) place(at int) uint32 {
	c.sites = append(c.sites, site{kind: siteNone, start: uint32(at), end: uint32(at)})
	return uint32(len(c.sites) - 1)
}

// ahead is the state of the way back over the notes of a function.
type ahead struct {
	// now is what lies ahead of the current point.
	now     int64
	labels  []aheadLabel
	regions []aheadRegion
}

type aheadLabel struct {
	// region is the region in which code goes on after a branch to this label.
	region int
	// at is what lies ahead behind the end of the block, and other what does where an if is not taken, whose site
	// is otherSite if it can pay.
	at, other int64
	otherSite uint32
}

type aheadRegion struct {
	tight bool
	// exit is what has to be paid in the region around it for the dearest way out.
	exit int64
}

// price goes back over the notes and puts costs into the sites. It returns what lies ahead of the function's entry.
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

// back goes back over one note.
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
		if !a.leaves(f.first) { // which happens once, however often the loop turns
			a.now = c.slack(f.site, a.now, taken)
		}
		a.now = max(a.now, taken)
	default:
		c.backBlock(f)
	}
}

// backBlock goes back over the beginning or the end of a block.
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

// leaves says whether a branch leaves the current loop.
func (a *ahead) leaves(depth uint32) bool {
	return a.labels[len(a.labels)-1-int(depth)].region < len(a.regions)-1
}

// to returns what lies ahead behind a branch to a label. What does in a region farther out is for that region to pay.
func (a *ahead) to(depth uint32) int64 {
	l := &a.labels[len(a.labels)-1-int(depth)]
	if l.region == len(a.regions)-1 {
		return l.at
	}
	inner := &a.regions[l.region+1]
	inner.exit = max(inner.exit, l.at)
	return 0
}

// slack has a site pay for what is above least, if that is much, and returns what lies ahead then. Tight loops are left
// alone: little is in them, and they are where a payment takes the most time.
func (c *coster) slack(n uint32, cost, least int64) int64 {
	if r := c.ahead.regions; cost-least <= slackCost || r[len(r)-1].tight {
		return cost
	}
	s := &c.sites[n]
	s.kind, s.cost = siteSlack, cost-least
	return least
}
