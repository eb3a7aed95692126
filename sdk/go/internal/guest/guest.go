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

// Package guest is the guest's side of the waPC protocol (https://wapc.io). The host calls
// operations, which handlers answer, and the guest makes host calls.
package guest

import (
	"fmt"
	"os"
	"runtime/debug"
)

// Handler answers the calls of one operation. An error becomes a failed evaluation.
type Handler func(payload []byte) ([]byte, error)

// HostError is a failure that the host reported, with the host's message.
type HostError string

// Error implements error.
func (e HostError) Error() string { return string(e) }

// handlers is only written by init functions.
var handlers = map[string]Handler{}

// Handle registers the handler of an operation. It panics if the operation already has one. Call it
// while the module is initialized: later calls are not safe for concurrent use.
func Handle(operation string, handler Handler) {
	if _, found := handlers[operation]; found {
		panic("operation " + operation + " has a handler already: register one policy in a module")
	}
	handlers[operation] = handler
}

// Call runs the handler of an operation. It turns a panic into an error with the panic's message,
// and writes the stack trace to standard error.
func Call(operation string, payload []byte) (response []byte, err error) {
	handler, found := handlers[operation]
	if !found {
		return nil, fmt.Errorf("could not find function %q", operation)
	}
	defer func() {
		if p := recover(); p != nil {
			_, _ = os.Stderr.Write(debug.Stack())
			response, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return handler(payload)
}

// HostCall calls a host capability and returns its answer. A failure that the host reports is a
// [HostError].
func HostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	return hostCall(binding, namespace, operation, payload)
}

// ConsoleLog writes a line to the host's log.
func ConsoleLog(line string) { consoleLog(line) }
