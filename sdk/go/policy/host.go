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

// HostError is a failure of a host call, with the host's message: the capability is not granted,
// the requested object does not exist, or the host could not find out.
type HostError = guest.HostError

// HostCall calls a host capability. It is for capabilities that the packages kubernetes, oci,
// network and certificate next to this one do not cover. The binding is "kubewarden", and namespace
// and operation are for example "kubernetes" and "get_resource". A failure is a [HostError].
func HostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	return guest.HostCall(binding, namespace, operation, payload)
}

// LogLevel is the severity of a log record.
type LogLevel string

// The levels of the host's log.
const (
	LogTrace   LogLevel = "trace"
	LogDebug   LogLevel = "debug"
	LogInfo    LogLevel = "info"
	LogWarning LogLevel = "warning"
	LogError   LogLevel = "error"
)

// Log writes a record to the host's log, which adds the policy's name. The fields may be nil, and
// their values anything that encodes to JSON. Each record is a host call. An error means that the
// record was not logged, which should not reject a request.
//
// Package logging next to this one does the same with log/slog, but makes modules larger.
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
