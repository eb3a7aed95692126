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

package spans

// Keys of attributes. See docs/tracing.md.
const (
	// Attributes of a phase.
	Resource  = "wasm_admission.resource"  // resource.group, and /subresource
	Operation = "wasm_admission.operation" // CREATE, UPDATE, DELETE or CONNECT
	Policies  = "wasm_admission.policies"  // the number that evaluated the request
	Allowed   = "wasm_admission.allowed"
	Again     = "wasm_admission.reinvocation" // true in the second round of mutation

	// Attributes of a policy, a member and an inventory.
	PolicyName   = "wasm_admission.policy.name"
	ModuleDigest = "wasm_admission.module.digest"

	// Attributes of a policy alone.
	Mode     = "wasm_admission.policy.mode"
	Verdict  = "wasm_admission.verdict"
	Rejected = "wasm_admission.rejected"
	Mutated  = "wasm_admission.mutated"
	Untraced = "wasm_admission.untraced_spans" // the number of spans within it that were too many

	// Attributes of a policy and a member.
	Fuel        = "wasm_admission.fuel"
	MemoryBytes = "wasm_admission.memory_bytes"
	Wait        = "wasm_admission.wait_seconds"
	Reset       = "wasm_admission.reset_seconds"

	// Attributes of a host call.
	Capability    = "wasm_admission.host_capability"
	RequestBytes  = "wasm_admission.request_bytes"
	ResponseBytes = "wasm_admission.response_bytes"
	LookResult    = "wasm_admission.look" // of oci/*: asked, cached, stale, denied or failed
)
