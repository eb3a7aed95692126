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

import "fmt"

// Error says where the input is malformed, and what was expected there.
type Error struct {
	// Offset is the position in the module, in bytes from its start.
	Offset int
	// Message says what is wrong and what was expected.
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("malformed wasm module at offset %#x: %s", e.Offset, e.Message)
}

// UnsupportedError says that the input uses a proposal that this package does not implement.
type UnsupportedError struct {
	// Offset is the position in the module, in bytes from its start.
	Offset int
	// Proposal is the name of the WebAssembly proposal's repository.
	Proposal string
	// Feature says which part of the proposal was found.
	Feature string
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported wasm feature at offset %#x: %s of the %s proposal", e.Offset,
		e.Feature, e.Proposal)
}

// The proposals that are refused by name.
const (
	proposalThreads        = "threads"
	proposalExceptions     = "exception-handling"
	proposalGC             = "gc"
	proposalMemory64       = "memory64"
	proposalMultiMemory    = "multi-memory"
	proposalRelaxedSIMD    = "relaxed-simd"
	proposalStringref      = "stringref"
	proposalStackSwitching = "stack-switching"
	proposalWideArithmetic = "wide-arithmetic"
	proposalMemoryControl  = "memory-control"
	proposalPageSizes      = "custom-page-sizes"
	proposalComponentModel = "component-model"
)
