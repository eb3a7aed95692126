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

package verdict

import "github.com/wasm-admission/wasm-admission/pkg/engine"

// DeadlineExceeded is Kubewarden's message for a policy that ran out of time. Users know it.
const DeadlineExceeded = "Policy execution interrupted because it exceeded the allowed execution time"

// Explain returns the text that users see for an evaluation that ended without a verdict.
func Explain(err error) string {
	if engine.CauseOf(err) == engine.CauseDeadline {
		return DeadlineExceeded + ": " + err.Error()
	}
	return err.Error()
}
