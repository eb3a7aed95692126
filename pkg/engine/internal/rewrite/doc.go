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

// Package rewrite instruments a WebAssembly module so that a host can safely run it in its own
// process.
//
// [Module] decodes a module, changes it, and encodes it again. It makes these changes:
//
//   - Code pays fuel, and calls an imported function, the tick, when the fuel has run out.
//   - Calls take stack, and call the tick when no stack is left.
//   - Mutable globals are exported under reserved names, so that the host can save and restore
//     them.
//   - The declared maximum of memory and tables becomes the host's limit.
//   - An imported memory can become the module's own.
//   - Active data segments can be extracted and handed to the host as an image of the memory.
//   - Instructions that the engine miscompiles for a processor can be replaced.
//   - The start function can become an export that the host calls like any other.
//
// The module computes the same results as before, including traps. The package refuses what it does
// not understand. Package wasm describes what is checked, and what is left to the engine that
// compiles the result.
//
// # Fuel
//
// Compiled guest code cannot be preempted. The code therefore counts. A mutable i64 global holds
// the fuel. At chosen places, the code subtracts a cost from it, and calls the tick if the result
// is negative:
//
//	global.get fuel; i64.const cost; i64.sub; global.set fuel
//	block; block; global.get fuel; i64.const 0; i64.lt_s; br_if 0; br 1; end; call tick; end
//
// The tick is a host function. It refills the fuel, or ends the call with a panic. The host decides
// how much it grants at a time. That does not change what a run burns: the same module with the
// same input burns the same fuel everywhere. One unit is one instruction, with the exceptions
// below.
//
// The code pays at these places:
//
//   - Every loop pays at its head, on every iteration. It pays the cost of the most expensive path
//     through one iteration, outside of nested loops. The scheme uses paths rather than sums
//     because an interpreter's loop is a switch over hundreds of cases, of which one runs. Payments
//     on a path reduce the path's cost.
//   - Where two paths fork and one is much more expensive, the expensive one pays the difference at
//     its beginning. The same holds for code that only branches reach, and for targets of a
//     br_table. These payments do not check the remaining fuel, and do not affect where the code
//     checks it.
//   - A function pays at its entry if it is called from outside, if a cycle of calls closes at it,
//     or if its cost is above a threshold. It pays the cost of the most expensive path outside of
//     its loops. Every cycle in the call graph passes through such a function. An indirect call
//     counts as a call of every function of that type to which a reference exists.
//   - The cost of calling any other function is part of its caller's path. Such a function is
//     small, and its callees are small or pay for themselves. Consider functions that call one
//     another twice, thirty levels deep and without any loop: they become too expensive after a few
//     levels, and pay for themselves from there on.
//   - A path that grows too long pays at a checkpoint in between. After calls that may nest deeply,
//     this happens early, because returning from a deep stack executes the ends of many functions
//     without entering one.
//   - Bulk operations on memories and tables pay by length, after they ran. Memory operations
//     longer than half a MiB run in portions, in functions that the rewrite adds, with a tick after
//     each portion. Growing a memory or a table also pays a constant, because even a refused
//     request is work for the host.
//
// Loops that call nothing and contain no other loop keep the fuel in a local. The code stores the
// fuel in its global on every way out of the loop, and before it calls the tick.
//
// The work between two charges that check the remaining fuel is therefore bounded for every module:
// by ten thousand units in straight code, and by a few hundred units for each frame while a deep
// stack returns.
//
// # Stack
//
// A second global holds the remaining bytes of stack. A function takes stack if it is called from
// outside or if a cycle of calls closes at it. It takes the estimated size of its frame, plus the
// frames of its callees up to the next such function. It gives the stack back when it returns. For
// every module, the total taken is the sum over all frames. Returns become branches to the end of a
// block around the body, so that there is one way out. A tail call gives the stack back first. Such
// a function pays its fuel at the same place, with one check for both.
//
// The engine underneath has its own limit, but that limit suits only well-meaning guests. The
// engine moves a growing stack as a whole, up to 82 MiB, and nothing can stop the guest meanwhile.
//
// # Function indices
//
// The tick is an import, and imports come first in the index space of functions. The tick becomes
// the last import, so the index of every function that the module defines grows by one: in code,
// tables, exports, and everywhere else, including the name section. Other custom sections stay
// unchanged. DWARF sections then describe code that no longer exists, so a host that shows stack
// traces should not use them.
package rewrite
