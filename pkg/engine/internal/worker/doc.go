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

// Package worker has modules compiled in child processes of the same binary, so that
// what the compiler costs, and what becomes of it, is not the parent's.
//
// # What it is
//
// A child is a boundary for resources and no sandbox: no guest runs there, and it is the
// same user with the same files. It bounds data, the size of files, processor time, the
// Go stack and open files, inherits neither descriptors nor environment, and ends with its
// parent. What a module makes the compiler do (a stack overflow, which is fatal to a Go
// process and which nothing can recover from; memory; time) ends a child and a load. A
// compiler that is taken over could write any code into the result, in a child as in the
// parent: who trusts what comes back trusts the compiler.
//
// # How it works
//
// A program says with [Serve], before it does anything else, that it can be started as a
// child; a program that does not is never started as one. A [Pool] starts children when
// there is something to compile, gives each several modules, one after another, and ends
// those that have had nothing to do for a while. A module goes to a child over its
// standard input, the answer comes over its standard output: done, or the compiler's
// error. What was compiled lies in a directory that the task names.
//
// The parent kills a child that takes longer than the context of a task allows. A child
// that dies takes no more than one module with it: the one that it had. That is tried once
// more, alone, with all the memory that children may take together, before it is
// blamed, as others may have been at fault: the kernel, which was short of memory, the
// modules before it in the same child.
//
// # Systems
//
// On Linux all of this holds. On other systems the parent keeps the time, and the child
// limits its stack and tells its collector how much memory it may use, which is a wish and no limit.
package worker
