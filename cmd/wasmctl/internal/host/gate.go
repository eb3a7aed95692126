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

package host

import (
	"context"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Grants are a policy's permissions.
type Grants struct {
	// Resources are the kinds that the policy may read.
	Resources []abi.ContextAwareResource
	// Capabilities are the host capabilities that the policy may call.
	Capabilities capabilities.Patterns
}

// Gate returns what answers the host calls of one policy with the given grants. Calls of tracing,
// which need no grant, go to tracing.
func (a *Answers) Gate(policy string, grants Grants, tracing abi.Capabilities) abi.Capabilities {
	return capabilities.NewGate(capabilities.GateOptions{
		Caller:  capabilities.Caller{Policy: policy, Resources: grants.Resources, Secrets: true},
		Grants:  grants.Capabilities,
		Tracing: ungated{tracing},
		Shared:  a.Capabilities,
	})
}

// ungated answers calls of namespace tracing with a handler of complete host calls.
type ungated struct{ calls abi.Capabilities }

// Call implements [capabilities.Capability].
func (u ungated) Call(ctx context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	return u.calls.Call(ctx, abi.HostCall{
		Binding:   "kubewarden",
		Namespace: "tracing",
		Operation: operation,
		Payload:   payload,
	})
}
