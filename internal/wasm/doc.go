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

// Package wasm reads and writes the WebAssembly binary format, as far as a tool needs it that instruments modules.
//
// The format is that of the WebAssembly core specification 2.0 (https://www.w3.org/TR/wasm-core-2/#binary-format)
// with the proposals tail call, typed function references, extended constant expressions and compact import section.
// Every other proposal is refused with an [UnsupportedError] that names it; nothing that is not understood is ever
// passed through.
//
// # What is decoded, and what is not
//
// [Decode] takes the sections apart into a [Module]. Function bodies stay what they are in the file: a span of bytes
// that aliases the input. Real modules hold tens of megabytes of code, so there is no tree of instruction objects; a
// [Cursor] walks one body and yields opcode and immediates, and whoever rewrites copies the spans in between.
// Custom sections are kept byte for byte, at their place between the other sections.
//
// # What is checked, and what is not
//
// Input is hostile. Framing is checked in full: section order, sizes, counts (a count never allocates memory before it
// has been compared with the bytes that are left), LEB128 encodings, UTF-8 in names, trailing bytes, and the
// implementation limits that the WebAssembly JavaScript Interface states
// (https://webassembly.github.io/spec/js-api/#limits). The cursor checks block structure and nesting, and that every
// index of a type, function, global, local and label exists: adding one of these to a module must not make a dangling
// index valid. Operand types are not checked: that is the work of the engine that compiles the result, and wazero
// does it on every module.
//
// Errors are [*Error] or [*UnsupportedError]; both carry the byte offset in the input. Nothing here panics on any
// input.
//
// A Module aliases the bytes that it was decoded from. It is not safe for concurrent modification; concurrent reading
// is fine.
package wasm
