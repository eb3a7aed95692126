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

package wapc

import (
	"errors"
	"fmt"
)

// Handler serves one operation. The payload belongs to the handler. A returned
// error becomes the guest error of the call; a nil payload without an error is
// an empty response.
type Handler func(payload []byte) ([]byte, error)

// HostError is the text with which the host refused a host call.
type HostError string

// Error returns the host's text.
func (e HostError) Error() string { return "host error: " + string(e) }

var handlers = map[string]Handler{}

// Register makes a handler serve the operation of that name and replaces an
// earlier one. Call it from an init function: main does not run in a reactor.
func Register(operation string, handler Handler) {
	handlers[operation] = handler
}

// HostCall asks the host to run an operation and returns its response. The
// error is a HostError when the host ran or refused the call and said why.
func HostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	if hostCall(binding, namespace, operation, payload) {
		return hostResponse(), nil
	}
	if text := hostErrorText(); text != "" {
		return nil, HostError(text)
	}
	return nil, errors.New("host call failed and the host gave no reason")
}

// ConsoleLog writes one line to the host's log.
func ConsoleLog(message string) {
	consoleLog(message)
}

// call runs the handler of an operation.
func call(operation string, payload []byte) ([]byte, error) {
	handler, ok := handlers[operation]
	if !ok {
		return nil, fmt.Errorf("could not find function %q", operation)
	}
	return handler(payload)
}
