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

// Package worker compiles modules in child processes of the same binary, so that neither the cost
// nor the failure of a compilation affects the parent.
//
// # What a child is
//
// A child bounds resources. It is not a sandbox: no guest runs there, and it runs as the same user
// with access to the same files. A child limits its data, file sizes, processor time, Go stack, and
// open files. It inherits neither descriptors nor environment, and it ends with its parent. A
// module can make the compiler use up memory or time, or overflow its stack, which is fatal to a Go
// process and not recoverable. In a child, this ends only the child and the load. A compromised
// compiler could write any code into its result, in a child as in the parent. Trusting the result
// therefore means trusting the compiler.
//
// # How it works
//
// A program calls [Serve] before anything else to declare that it can be started as a child. A
// program that does not is never started as one. A [Pool] starts children when there is something
// to compile, gives each child several modules, one after another, and ends children that were idle
// for a while. The parent sends a module over the child's standard input. The answer comes over its
// standard output: done, or the compiler's error. The child writes the compiled code to a directory
// that the task names.
//
// The parent kills a child that runs beyond the context of its task. A child that dies fails only
// the module that it was compiling. The pool retries that module once, alone, with all the memory
// that children may take together. Only then does it blame the module, because there may have been
// another reason: a kernel short of memory, or earlier modules in the same child.
//
// # Systems
//
// All of this holds on Linux. On other systems, the parent enforces the time limit. The child
// limits its stack and gives its garbage collector a memory limit, which is only a soft limit.
package worker
