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

package guest

import "unsafe"

//go:wasmimport wapc __guest_request
func guestRequest(operation, payload unsafe.Pointer)

//go:wasmimport wapc __guest_response
func guestResponse(ptr unsafe.Pointer, length uint32)

//go:wasmimport wapc __guest_error
func guestError(ptr unsafe.Pointer, length uint32)

//go:wasmimport wapc __host_call
func wapcHostCall(
	binding unsafe.Pointer, bindingLen uint32,
	namespace unsafe.Pointer, namespaceLen uint32,
	operation unsafe.Pointer, operationLen uint32,
	payload unsafe.Pointer, payloadLen uint32,
) uint32

//go:wasmimport wapc __host_response_len
func wapcHostResponseLen() uint32

//go:wasmimport wapc __host_response
func wapcHostResponse(ptr unsafe.Pointer)

//go:wasmimport wapc __host_error_len
func wapcHostErrorLen() uint32

//go:wasmimport wapc __host_error
func wapcHostError(ptr unsafe.Pointer)

//go:wasmimport wapc __console_log
func wapcConsoleLog(ptr unsafe.Pointer, length uint32)

// guestCall is called by the host. It returns 1 after a response and 0 after an error. It trusts
// the sizes: a host that lies only harms its own guest.
//
//go:wasmexport __guest_call
func guestCall(operationLen, payloadLen uint32) uint32 {
	operation := make([]byte, operationLen)
	payload := make([]byte, payloadLen)
	guestRequest(bytesPointer(operation), bytesPointer(payload))

	response, err := Call(string(operation), payload)
	if err != nil {
		text := err.Error()
		guestError(stringPointer(text), uint32(len(text)))
		return 0
	}
	guestResponse(bytesPointer(response), uint32(len(response)))
	return 1
}

func hostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	succeeded := wapcHostCall(
		stringPointer(binding), uint32(len(binding)),
		stringPointer(namespace), uint32(len(namespace)),
		stringPointer(operation), uint32(len(operation)),
		bytesPointer(payload), uint32(len(payload)),
	) == 1
	if succeeded {
		response := make([]byte, wapcHostResponseLen())
		wapcHostResponse(bytesPointer(response))
		return response, nil
	}
	text := make([]byte, wapcHostErrorLen())
	wapcHostError(bytesPointer(text))
	if len(text) == 0 {
		return nil, HostError("the host call failed and the host gave no reason")
	}
	return nil, HostError(text)
}

func consoleLog(line string) { wapcConsoleLog(stringPointer(line), uint32(len(line))) }

func bytesPointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func stringPointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }
