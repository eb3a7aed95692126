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

// Package wasm reads and writes the WebAssembly binary format, for tools that instrument modules.
//
// The format is that of the WebAssembly core specification 2.0
// (https://www.w3.org/TR/wasm-core-2/#binary-format) with the proposals tail call, typed function
// references, extended constant expressions and compact import section. Every other proposal is
// refused with an [UnsupportedError] that names it. The package never passes on anything that it
// does not understand.
//
// # Decoding
//
// [Decode] splits the sections into a [Module]. Function bodies stay as they are in the file: a
// span of bytes that aliases the input. Real modules hold tens of megabytes of code, so there is no
// tree of instruction objects. A [Cursor] walks one body and returns opcodes and immediates. A
// rewriter copies the spans between the instructions that it changes. Custom sections are kept byte
// for byte, at their place between the other sections.
//
// # Checks
//
// Input is hostile. Decode checks the framing completely: section order, sizes, counts, LEB128
// encodings, UTF-8 in names, and trailing bytes. It compares a count with the remaining bytes
// before it allocates memory for it. It also checks the implementation limits of the WebAssembly
// JavaScript Interface (https://webassembly.github.io/spec/js-api/#limits). The cursor checks block
// structure and nesting, and that every index of a type, function, global, local and label exists.
// Otherwise, adding one of these to a module could make a dangling index valid. Neither checks
// operand types: the engine that compiles the result does, and wazero does it on every module.
//
// Errors are [*Error] or [*UnsupportedError]. Both carry the byte offset in the input. No input
// causes a panic.
//
// A Module aliases the bytes that it was decoded from. It is safe for concurrent reading, but not
// for concurrent modification.
package wasm
