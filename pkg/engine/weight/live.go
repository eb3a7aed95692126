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

import "sort"

// The lifetimes of locals' values determine what the compiler keeps for each block. The walker
// estimates them without following paths. A value lives until the last get that follows it in the
// code. It lives from the set if the set's block is still open at the get, and from the beginning
// otherwise. If a loop carries the value, it lives to the end of the outermost such loop.

func (w *walker) set(index uint32) {
	l := &w.locals[index]
	at := len(w.frames) - 1
	now := len(w.points) - 1
	l.frame, l.at, l.since = w.frames[at].serial, at, now
}

func (w *walker) get(index uint32) {
	w.f.find += float64(w.chain)
	l := &w.locals[index]
	now := len(w.points) - 1
	if l.at >= len(w.frames) || w.frames[l.at].serial != l.frame {
		// A value that was set in a block that has ended is one of several possible values here.
		l.frame, l.at, l.since, l.until = 0, 0, l.filled, l.filled
		l.filled = now
	}
	w.live(l, now)
	if n := sort.SearchInts(w.loops, l.since+1); n < len(w.loops) && l.waits != w.loop {
		l.waits = w.loop
		w.waiting = append(w.waiting, int(index))
	}
}

// live counts a local as alive up to a point, starting after the points already counted.
func (w *walker) live(l *local, now int) {
	from := max(l.since, l.until)
	if from < now {
		w.points[from].begin++
		w.points[now].end++
	}
	l.until = max(l.until, now)
}

// settle ends an outermost loop: it counts the locals that wait for the loop's end.
func (w *walker) settle() {
	now := len(w.points) - 1
	for _, index := range w.waiting {
		w.live(&w.locals[index], now)
	}
	w.waiting = w.waiting[:0]
}

// sum adds up the costs of all points.
func (w *walker) sum() {
	live := 0
	for i := range w.points {
		p := &w.points[i]
		live += p.begin
		values := float64(live + p.height)
		w.f.live += values * float64(p.blocks)
		w.f.find += values * p.chain
		w.f.moves += values * float64(p.edges)
		w.f.phis += values * values * float64(p.edges)
		live -= p.end
	}
}
