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

package weight

import (
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// point is a place in the code where wazero starts basic blocks.
type point struct {
	// blocks is the number of blocks that start at the point. edges is the number of branches from
	// it to blocks that also have other predecessors.
	blocks, edges int
	// chain is the sum, over these branches, of the number of preceding blocks with one
	// predecessor.
	chain float64
	// height is the number of values on the stack. begin and end are the numbers of locals whose
	// values begin to live, and cease to live, at the point.
	height, begin, end int
}

// local is the state of a local variable at a point.
type local struct {
	// since and until are the first and the last point at which the local counts as alive so far.
	since, until int
	// filled is the point up to which the local counts as alive from the beginning.
	filled int
	// frame is the serial of the block that set the local, and at its index among the open blocks.
	frame, at int
	// waits is the serial of the outermost loop at whose end the local will be counted.
	waits int
}

// frame is an open block.
type frame struct {
	serial int
	op     wasm.Opcode
	// base is the stack height below the block, and results the number of values that the block
	// leaves there. carried is the number of values that a branch to the block takes along.
	base, results, carried int
	// joined is set if a branch targets the block's end.
	joined bool
	// chain and depth are the walker's values at the block's beginning. shallow is the smallest
	// depth at any branch to the block's end.
	chain, depth, shallow int
	// known is the smallest value of the walker's known at any branch to the block's end.
	known int
}

// walker weighs the functions of a module, one after another.
type walker struct {
	module  *wasm.Module
	cursor  *wasm.Cursor
	types   []uint32
	imports int

	f      function
	frames []frame
	points []point
	locals []local
	// loops are the points where the open loops began. waiting lists the locals that live as long
	// as the outermost loop.
	loops   []int
	waiting []int
	serial  int
	loop    int
	height  int
	// chain is the number of blocks with one predecessor before the current point. depth is an
	// upper bound on the point's depth in the dominator tree.
	chain, depth int
	// known is an upper bound on the number of memory accesses on every path to the current point.
	// wazero records for each block what it knows about them.
	known int
	// unreachable is set if no path leads to the current point.
	unreachable bool
}

// weigh walks the code of the nth defined function and leaves its counts in w.f.
func (w *walker) weigh(n int) error {
	body := &w.module.Bodies[n]
	t := &w.module.Types[w.types[w.imports+n]]
	params, all := len(t.Params), len(t.Params)+int(body.Locals)
	w.f = function{
		bytes:  len(body.Code) + len(body.LocalDecls),
		locals: all,
		values: len(t.Params) + len(t.Results),
	}
	w.frames = append(w.frames[:0],
		frame{results: len(t.Results), carried: len(t.Results), op: wasm.OpBlock})
	w.points = append(w.points[:0], point{blocks: 2, begin: 2})
	w.locals = slices.Grow(w.locals[:0], all)[:all]
	clear(w.locals)
	w.loops, w.waiting, w.serial, w.height, w.chain, w.depth = w.loops[:0], w.waiting[:0], 0, 0,
		0, 0
	w.unreachable, w.known = false, 0
	w.cursor.Reset(body, params)
	for in := (wasm.Instruction{}); w.cursor.Next(&in); {
		w.instruction(&in)
	}
	w.sum()
	return w.cursor.Err()
}

func (w *walker) instruction(in *wasm.Instruction) {
	switch in.Op {
	case wasm.OpLocalGet:
		w.get(in.X)
		w.height++
	case wasm.OpLocalSet, wasm.OpLocalTee:
		w.set(in.X)
		w.height += height(in.Op)
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		w.open(in)
	case wasm.OpElse:
		f := &w.frames[len(w.frames)-1]
		w.edge(0)
		f.op, f.joined, w.unreachable = wasm.OpElse, true, false
		w.height, w.chain, w.depth, w.known = f.base, f.chain+1, f.depth+1, f.known
		w.point(1)
	case wasm.OpEnd:
		w.close()
	case wasm.OpBr, wasm.OpBrIf, wasm.OpBrOnNull, wasm.OpBrOnNonNull:
		if in.Op != wasm.OpBr {
			w.height--
		}
		w.branch(in.X)
		if in.Op == wasm.OpBr {
			w.dead()
			return
		}
		w.chain++
		w.depth++
		w.point(2) // the block after the branch, and one on the way to its target
	case wasm.OpBrTable:
		w.height--
		w.point(len(w.cursor.Targets()))
		w.f.targetsSquared += float64(in.X) * float64(in.X)
		w.depth++
		for _, target := range w.cursor.Targets() {
			w.chain++
			w.branch(target)
			w.chain--
		}
		w.dead()
	case wasm.OpReturn:
		w.branch(uint32(len(w.frames) - 1))
		w.dead()
	case wasm.OpUnreachable:
		w.dead()
	case wasm.OpCall, wasm.OpReturnCall:
		if int(in.X) < w.imports {
			w.f.hostCalls++
		}
		w.call(w.types[in.X], 0)
	case wasm.OpCallIndirect, wasm.OpReturnCallIndirect, wasm.OpCallRef, wasm.OpReturnCallRef:
		w.call(in.X, 1)
	default:
		w.other(in)
	}
}

// other handles instructions that are not about blocks, locals, or calls.
func (w *walker) other(in *wasm.Instruction) {
	w.height += height(in.Op)
	switch {
	case in.Op >= 0x28 && in.Op <= 0x3e, in.Op >= 0xfd00 && in.Op <= 0xfd0b, in.Op >= 0xfd54 &&
		in.Op <= 0xfd5d:
		w.f.accesses++
		w.known++
		w.f.find += float64(w.chain)
	case in.Op == wasm.OpGlobalGet:
		w.f.find += float64(w.chain)
	case in.Op >= 0xfc08 && in.Op < 0xfd00:
		w.f.bulk++
	}
}

func (w *walker) call(index uint32, operands int) {
	t := &w.module.Types[index]
	w.height += len(t.Results) - len(t.Params) - operands
	w.f.values += len(t.Results) + len(t.Params)
	w.f.calls++
}

// dead marks the code after an unconditional exit as unreachable.
func (w *walker) dead() {
	w.height = w.frames[len(w.frames)-1].base
	w.unreachable = true
}

// point adds a point at which blocks start.
func (w *walker) point(blocks int) {
	w.f.blocks += blocks
	w.f.dominators += float64(w.depth) * float64(blocks)
	w.f.known += float64(w.known) * float64(blocks)
	w.points = append(w.points, point{blocks: blocks, height: max(0, w.height)})
}

// edge counts a branch from the current point that takes values along.
func (w *walker) edge(values int) {
	w.f.values += values
	w.f.dominators += float64(w.depth)
	w.f.known += float64(w.known)
	p := &w.points[len(w.points)-1]
	p.edges++
	p.chain += float64(w.chain + 1)
}

// branch counts a branch to a label, and records it at the label's block.
func (w *walker) branch(label uint32) {
	f := &w.frames[len(w.frames)-1-int(label)]
	w.edge(f.carried)
	if f.op != wasm.OpLoop {
		if !f.joined {
			f.shallow, f.known = w.depth, w.known
		}
		f.shallow, f.known = min(f.shallow, w.depth), min(f.known, w.known)
		f.joined = true
	}
}

// open handles the beginning of a block.
func (w *walker) open(in *wasm.Instruction) {
	takes, yields := 0, int(in.Y)
	if in.X != wasm.NoType {
		takes, yields = len(w.module.Types[in.X].Params), len(w.module.Types[in.X].Results)
	}
	w.f.values += takes + yields
	if in.Op == wasm.OpIf {
		w.height--
	}
	w.serial++
	f := frame{
		serial:  w.serial,
		op:      in.Op,
		base:    w.height - takes,
		results: yields,
		carried: yields,
		chain:   w.chain,
		depth:   w.depth,
	}
	switch in.Op {
	case wasm.OpLoop:
		f.carried = takes
		w.f.loops++
		w.edge(takes)
		w.chain, w.depth = 0, w.depth+1
		w.point(2)
		if len(w.loops) == 0 {
			w.loop = w.serial
		}
		w.loops = append(w.loops, len(w.points)-1)
		w.f.loopNesting = max(w.f.loopNesting, len(w.loops))
	case wasm.OpIf:
		f.joined, f.shallow, f.known = true, w.depth, w.known
		w.chain, w.depth = w.chain+1, w.depth+1
		w.point(2)
	}
	w.frames = append(w.frames, f)
	w.f.nesting = max(w.f.nesting, len(w.frames)-1)
}

// close handles the end of a block.
func (w *walker) close() {
	f := &w.frames[len(w.frames)-1]
	w.edge(f.results)
	if f.op == wasm.OpLoop {
		if w.loops = w.loops[:len(w.loops)-1]; len(w.loops) == 0 {
			w.settle()
		}
	}
	switch {
	case f.joined && w.unreachable:
		w.chain, w.depth, w.known, w.unreachable = 0, f.shallow+1, f.known, false
	case f.joined:
		w.chain, w.depth, w.known = 0, min(w.depth, f.shallow)+1, min(w.known, f.known)
	default:
		w.chain, w.depth = w.chain+1, w.depth+1
	}
	w.height = f.base + f.results
	w.frames = w.frames[:len(w.frames)-1]
	w.point(1)
}
