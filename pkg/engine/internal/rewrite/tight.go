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

// A loop is tight if it calls nothing and contains no bulk operations and no other loop. It keeps
// the fuel in a local, so that an iteration neither loads nor stores the global. Otherwise, a loop
// over the bytes of a text spends most of its time on that. The code stores the fuel in the global
// after the loop, and whenever it calls the tick. If the loop traps, the fuel burned since the last
// tick is not accounted for: less than the host granted at that tick, and always the same amount.

// wayIn is called before a loop opens.
func (c *coster) wayIn(in *wasm.Instruction) {
	c.loosen()
	c.ways = append(c.ways[:0], len(c.sites))
	c.sites = append(c.sites, site{kind: siteLoad, start: uint32(in.Start), end: uint32(in.Start)})
}

// wayOut is called for a branch that may leave the innermost loop.
func (c *coster) wayOut(in *wasm.Instruction, targets ...uint32) {
	current := len(c.regions) - 1
	if !c.regions[current].tight || c.at.cost < 0 {
		return
	}
	for _, depth := range targets {
		l := &c.labels[len(c.labels)-1-int(depth)]
		if l.region == current {
			continue
		}
		s := site{kind: siteStore, start: uint32(in.Start), end: uint32(in.Start)}
		if in.Op == wasm.OpBrIf && l.values == 0 {
			s = site{kind: siteBranch, start: uint32(in.Start), end: uint32(in.End), x: depth}
		}
		c.ways = append(c.ways, len(c.sites))
		c.sites = append(c.sites, s)
		return
	}
}

// loosen marks the innermost loop as not tight.
func (c *coster) loosen() {
	top := &c.regions[len(c.regions)-1]
	if !top.tight {
		return
	}
	top.tight = false
	for _, n := range c.ways {
		c.sites[n].kind = siteNone
	}
}

// closeTight is called at the end of a tight loop.
func (c *coster) closeTight(in *wasm.Instruction, head int) {
	c.tight = true
	c.sites[head].kind = siteTurn
	if c.at.cost >= 0 {
		c.sites = append(c.sites, site{kind: siteStore, start: uint32(in.End), end: uint32(in.End)})
	}
}

// appendTurn is like [emitter.appendCharge], for fuel in the local.
func (e *emitter) appendTurn(out []byte, cost int64) []byte {
	out = appendConst(appendLocals(out, wasm.OpLocalGet, e.local), cost)
	out = appendLocals(append(out, byte(wasm.OpI64Sub)), wasm.OpLocalSet, e.local)
	out = appendLocals(appendBlocks(out), wasm.OpLocalGet, e.local)
	out = appendPast(out)
	out = wasm.AppendUint32(append(e.appendStore(out), byte(wasm.OpCall)), e.r.tick())
	return append(e.appendLoad(out), byte(wasm.OpEnd))
}

func (e *emitter) appendLoad(out []byte) []byte {
	return appendLocals(e.appendFuel(out, wasm.OpGlobalGet), wasm.OpLocalSet, e.local)
}

func (e *emitter) appendStore(out []byte) []byte {
	return e.appendFuel(appendLocals(out, wasm.OpLocalGet, e.local), wasm.OpGlobalSet)
}

// appendBranch appends a br_if that stores the fuel if it is taken.
func (e *emitter) appendBranch(out []byte, depth uint32) []byte {
	out = e.appendStore(append(out, byte(wasm.OpIf), wasm.BlockTypeEmpty))
	return append(wasm.AppendUint32(append(out, byte(wasm.OpBr)), depth+1), byte(wasm.OpEnd))
}
