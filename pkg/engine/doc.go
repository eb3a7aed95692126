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

// Package engine runs WebAssembly modules that nobody trusts inside a process
// that must keep serving.
//
// It knows wazero and WebAssembly and nothing of Kubernetes or of policies. A
// caller describes how a kind of guest is spoken to (an [ABI]), loads a module
// for it ([Engine.Load]), and then, for each evaluation, acquires an instance,
// calls exports of it and releases it:
//
//	module, err := e.Load(ctx, wasm, abi)
//	...
//	instance, err := module.Acquire(ctx, state)
//	if err != nil { ... }
//	defer instance.Release()
//	result, err := instance.Call("run", 1, 2)
//
// Guests that are programs are run to their end instead ([Instance.Run]).
//
// # What a program that embeds it does
//
// Modules are compiled in child processes of the program's own binary (package worker), as what the compiler does with
// a module that was made for it can end a process. So main begins with
//
//	engine.ServeCompilations()
//
// before flags are parsed and anything is opened: in a child it does not return. [New] fails in a program that has
// not called it, unless [Options.Compilation] is [InProcess].
//
// # What a module goes through
//
// When a module is loaded it is rewritten so that it meters itself (package
// rewrite, over package wasm), compiled, with the code kept on disk (package
// codecache), started once, and warmed up. What its memory and globals hold then
// becomes a snapshot (package memory), from which a pool of instances is made
// (package pool). An evaluation takes one from the pool and gives it back; then
// it is brought back to the snapshot. What several evaluations would do alike, such as to
// decode the same large document, can be done in a further snapshot that these start from
// ([Module.Derive]).
//
// # What holds
//
// Every acquired instance is pristine: nothing that an earlier evaluation left
// in linear memory or globals can be seen, whatever it started from. Every evaluation ends: at its
// deadline, at the end of its context, when its fuel is burnt, or before. While
// it runs it passes a safepoint every fraction of a millisecond, so that the
// garbage collector is not held up. What a guest may use is bounded by [Limits].
// Whatever ends an evaluation early comes back as an [*Error] that says what
// ended it; no guest can make this package panic.
//
// An [Engine] and a [Module] may be used concurrently. An [Instance] belongs to
// the goroutine that acquired it.
package engine
