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

package wasm

// Implementation limits. Every browser engine accepts the limits of the WebAssembly JavaScript
// Interface (https://webassembly.github.io/spec/js-api/#limits), so no toolchain exceeds them.
const (
	// MaxModuleSize is the size of a module in bytes.
	MaxModuleSize = 1 << 30
	// MaxTypes is the number of types in the type section.
	MaxTypes = 1_000_000
	// MaxFunctions is the number of functions that a module defines.
	MaxFunctions = 1_000_000
	// MaxImports is the number of imports of all kinds.
	MaxImports = 1_000_000
	// MaxExports is the number of exports of all kinds.
	MaxExports = 1_000_000
	// MaxGlobals is the number of globals that a module defines.
	MaxGlobals = 1_000_000
	// MaxTables is the number of tables that a module defines.
	MaxTables = 100_000
	// MaxDataSegments is the number of data segments. It exceeds the JavaScript Interface's limit
	// of 100,000, because programs in Go reach that.
	MaxDataSegments = 1_000_000
	// MaxElementSegments is the number of element segments.
	MaxElementSegments = 10_000_000
	// MaxTableSize is the number of entries in a table, and in an element segment.
	MaxTableSize = 10_000_000
	// MaxBodySize is the size of a function body in bytes, including local declarations.
	MaxBodySize = 7_654_321
	// MaxLocals is the number of locals that a function declares, without parameters.
	MaxLocals = 50_000
	// MaxParams is the number of parameters of a function type.
	MaxParams = 1_000
	// MaxResults is the number of results of a function type.
	MaxResults = 1_000
	// MaxBranchTargets is the number of labels of a br_table, without the default.
	MaxBranchTargets = 65_520
	// MaxMemoryPages is the number of 64 KiB pages that a 32-bit memory can have.
	MaxMemoryPages = 65_536
)

// Limits of this package for which the JavaScript Interface has none.
const (
	// MaxNesting is the depth of nested blocks in a function. Code that walks a function keeps a
	// frame for each block. A switch of 50,000 cases still fits.
	MaxNesting = 50_000
	// MaxConstInstructions is the number of instructions of one constant expression.
	MaxConstInstructions = 1_000
	// MaxNames is the number of entries in the name section. Nested maps count with their entries.
	MaxNames = 2_000_000
	// MaxSelectTypes is the number of types in the annotation of a select instruction. Validation
	// allows exactly one.
	MaxSelectTypes = 1
)
