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

package wasi

import "unsafe"

// call is a policy's only import besides WASI. Unlike waPC's import,
// it returns 0 for success, and the answer arrives on standard input.
//
//go:wasmimport host call
func call(
	binding unsafe.Pointer, bindingLen uint32,
	namespace unsafe.Pointer, namespaceLen uint32,
	operation unsafe.Pointer, operationLen uint32,
	payload unsafe.Pointer, payloadLen uint32,
) uint32

func hostCall(binding, namespace, operation, payload string) (failed bool) {
	return call(
		pointer(binding), uint32(len(binding)),
		pointer(namespace), uint32(len(namespace)),
		pointer(operation), uint32(len(operation)),
		pointer(payload), uint32(len(payload)),
	) != 0
}

func pointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }
