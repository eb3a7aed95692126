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

// Package rewrite instruments a WebAssembly module so that a host can run it in its own process without being hurt.
//
// [Module] decodes a module, changes it and encodes it again. What changes:
//
//   - Code pays fuel, and calls an imported function, the tick, when it has run out.
//   - Calls take from a stack, and call the tick when nothing is left of it.
//   - Mutable globals are exported under reserved names, so that the host can save and restore them.
//   - The declared maximum of memory and tables becomes the host's limit.
//   - An imported memory can become the module's own.
//   - Active data segments can be taken out and handed to the host as an image of the memory.
//   - Instructions that the engine compiles wrongly for a processor can be replaced.
//   - The start function can be turned into an export, to be run like any other call.
//
// What it computes stays the same, traps included. What is not understood is refused; see package wasm for what is
// checked and what is left to the engine that compiles the result.
//
// # Fuel
//
// Compiled guest code knows no preemption. So the code counts: a mutable i64 global holds the fuel, and at chosen
// places the code subtracts a cost from it and calls the tick if the result is negative:
//
//	global.get fuel; i64.const cost; i64.sub; global.set fuel
//	block; block; global.get fuel; i64.const 0; i64.lt_s; br_if 0; br 1; end; call tick; end
//
// The tick is a function of the host: it sets the fuel again, or ends the call by a panic. How much it grants at a time
// is the host's affair, and does not change what a run consumes: the same module with the same input consumes the same
// fuel everywhere. One unit is one instruction, with the exceptions below.
//
// Where the code pays, and how much:
//
//   - Every loop pays at its head, on every turn, the cost of the most expensive path through one turn, outside of the
//     loops that it contains. Paths and not sums: an interpreter's loop is a switch over hundreds of cases, of which
//     one runs. What a path costs is less what is paid on it.
//   - Where two paths part and one of them is much more expensive than the other, the expensive one pays for the difference
//     at its beginning. So does code that only branches lead to, and what a br_table leads to. This pays without a look at
//     what is left. Where code looks does not depend on it.
//   - A function pays at its entry the cost of the most expensive path outside of its loops if it is called from
//     outside, if a cycle of calls closes at it, or if that cost is above a threshold. Every cycle in the call graph goes
//     through such a function. Indirect calls count as calls of every function of that type to which a
//     reference exists.
//   - The cost of calling any other function is part of its caller's path: such a function is small, and what it
//     calls in turn is small or pays for itself. A diamond of functions that call one another twice, thirty levels
//     deep and without any loop, so becomes too expensive after a few levels, and pays from there on.
//   - A path that grows too long pays at a checkpoint in between. Behind calls that may nest deeply that happens
//     early, because returning from a deep stack executes the ends of many functions without entering one.
//   - Bulk operations on memories and tables pay by length, after they were carried out. Those on memory that are longer
//     than half a MiB are carried out in portions, by functions that are added, with a tick after each. Asking for more
//     memory or a larger table pays a constant too, as it is work for the host even if it is refused.
//
// In loops that call nothing and contain no other loop the fuel is in a local, and goes back to its global on every way
// out and before the tick is called.
//
// So the work between two charges that look at what is left is bounded, however the module is built: by ten thousand units
// on straight code, and on the way back through a stack of n frames by a few hundred units for each.
//
// # Stack
//
// A second global holds the bytes of stack that are left. A function that is called from outside, or at which a cycle of
// calls closes, takes what its frame is estimated to need, with all that it calls short of the next such function, and
// gives it back on its way out. What is taken so is the sum over all frames, however the module is built. Returns
// become branches to the end of a block around the body, so that there is one way out; a tail call gives back before it.
// Such a function pays its fuel at the same place, with one check for both.
// The engine underneath has a limit of its own, but it is one for well-meaning guests: it moves a stack that grows, in
// one piece and up to 82 MiB, and nothing can stop the guest meanwhile.
//
// # Function indices
//
// The tick is an import, and imports stand first in the index space of functions. It becomes the last import, so that all
// functions that the module defines move up by one, in code, tables, exports and everywhere else, the name
// section included. Other custom sections stay as they are. Those with DWARF describe code that is no more: a host that
// shows stack traces should not use them.
package rewrite
