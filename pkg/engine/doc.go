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

// Package engine runs untrusted WebAssembly modules inside a process that must keep serving.
//
// The package knows wazero and WebAssembly, but nothing about Kubernetes or policies. A caller
// describes how to talk to a kind of guest (an [ABI]) and loads a module for it ([Engine.Load]).
// For each evaluation, the caller then acquires an instance, calls its exports, and releases it:
//
//	module, err := e.Load(ctx, wasm, abi)
//	...
//	instance, err := module.Acquire(ctx, state)
//	if err != nil { ... }
//	defer instance.Release()
//	result, err := instance.Call("run", 1, 2)
//
// Guests that are programs run to completion instead ([Instance.Run]).
//
// # What an embedding program does
//
// The engine compiles modules in child processes of the program's own binary (package worker),
// because a malicious module can make the compiler crash its process. The program's main function
// therefore begins with
//
//	engine.ServeCompilations()
//
// before it parses flags or opens anything. In a child process this call does not return. [New]
// fails in a program that did not make the call, unless [Options.Compilation] is [InProcess].
//
// # The life of a module
//
// When the engine loads a module, it rewrites the module so that it meters itself (package rewrite,
// on top of package wasm). It then compiles the module and keeps the code on disk (package
// codecache), starts it once, and warms it up. The contents of its memory and globals then become a
// snapshot (package memory), from which the engine makes a pool of instances (package pool). An
// evaluation takes an instance from the pool and returns it, and the engine resets the instance to
// the snapshot. Work that several evaluations would repeat, such as decoding the same large
// document, can run once in a further snapshot from which those evaluations start
// ([Module.Derive]).
//
// # Guarantees
//
// Every acquired instance is pristine: it shows nothing that an earlier evaluation left in linear
// memory or globals, whichever snapshot that evaluation started from. Every evaluation ends: at its
// deadline, when its context ends, when its fuel is burned, or earlier. A running guest passes a
// safepoint every fraction of a millisecond, so it does not hold up the garbage collector. [Limits]
// bounds what a guest may use. If an evaluation ends early, an [*Error] says why. No guest can make
// this package panic.
//
// An [Engine] and a [Module] are safe for concurrent use. An [Instance] belongs to the goroutine
// that acquired it.
package engine
