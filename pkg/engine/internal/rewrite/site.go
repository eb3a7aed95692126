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

// site is a place in a body that the rewrite changes. Sites are in code order.
type site struct {
	kind siteKind
	// start and end delimit the replaced instruction. They are equal where code is only inserted.
	start, end uint32
	// cost is the cost of a charge.
	cost int64
	// x is the function index of a siteFunction and the first index of a siteBulk. op is the opcode
	// of these two and of a siteReplaced.
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
	// siteEnter is where a function pays fuel and takes stack, and siteLeave its end, where it
	// gives the stack back. On other ways out, siteReturn is a return that becomes a branch to
	// label x, and siteTailCall is before a tail call.
	siteEnter
	siteLeave
	siteReturn
	siteTailCall
	// siteLoad is before a tight loop, where the fuel moves from its global into a local. siteTurn
	// is at the loop's head. The fuel moves back at every siteStore, and at every siteBranch, a
	// br_if to label x, if it is taken. See tight.go.
	siteLoad
	siteTurn
	siteStore
	siteBranch
	// siteSlack pays without checking the remaining fuel.
	siteSlack
	// siteReplaced is a replaced instruction; see replace.go.
	siteReplaced
	// siteNone is a site that turned out not to be needed.
	siteNone
)

func chargeSite(at int, cost int64) site {
	return site{start: uint32(at), end: uint32(at), cost: cost}
}

func functionSite(in *wasm.Instruction) site {
	return site{
		kind:  siteFunction,
		start: uint32(in.Start),
		end:   uint32(in.End),
		x:     in.X,
		op:    in.Op,
	}
}

// growth bounds the number of bytes by which a site lengthens the code.
func (s *site) growth() int {
	switch s.kind {
	case siteFunction:
		return 5
	case siteNone:
		return 0
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
