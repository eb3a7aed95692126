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

package policy

import (
	"encoding/json"
	"maps"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
)

// HostError is a failure of a host call, in the host's words: the capability is not granted,
// what was asked for is not there, or the host could not find out.
type HostError = guest.HostError

// HostCall calls a host capability, for what the packages kubernetes, oci, network and
// certificate beside this one do not know. The binding is "kubewarden", and namespace and
// operation are such as "kubernetes" and "get_resource". A failure is a [HostError].
func HostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	return guest.HostCall(binding, namespace, operation, payload)
}

// LogLevel is how much a record of the log matters.
type LogLevel string

// The levels of the host's log.
const (
	LogTrace   LogLevel = "trace"
	LogDebug   LogLevel = "debug"
	LogInfo    LogLevel = "info"
	LogWarning LogLevel = "warning"
	LogError   LogLevel = "error"
)

// Log writes to the host's log, where the record has the policy's name. The fields may be nil,
// and their values anything that encodes to JSON. Each record is a host call. An error says that
// it was not logged, and is no reason to reject anything.
//
// Package logging beside this one does it with log/slog, which makes modules larger.
func Log(level LogLevel, message string, fields map[string]any) error {
	record := map[string]any{}
	maps.Copy(record, fields)
	record["level"], record["message"] = level, message
	payload, err := json.Marshal(record)
	if err != nil {
		return err
	}
	_, err = guest.HostCall("kubewarden", "tracing", "log", payload)
	return err
}

// ConsoleLog writes a line to the host's log without a level. Natively it does nothing.
func ConsoleLog(line string) { guest.ConsoleLog(line) }
