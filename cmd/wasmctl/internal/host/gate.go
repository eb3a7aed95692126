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
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// What every host call is addressed with, and what needs no grant.
const (
	binding = "kubewarden"
	tracing = "tracing"
)

// Grants are what a policy may ask.
type Grants struct {
	// Resources are the kinds that it may read.
	Resources []abi.ContextAwareResource
	// Capabilities are the host capabilities that it may call.
	Capabilities capabilities.Patterns
}

// Gate returns what answers the host calls of one policy, with the grants given. Calls of
// tracing go to what answers them without.
func (a *Answers) Gate(policy string, grants Grants, tracing abi.Capabilities) abi.Capabilities {
	return &gate{
		answers: a.Capabilities,
		caller:  capabilities.Caller{Policy: policy, Resources: grants.Resources, Secrets: true},
		granted: grants.Capabilities,
		tracing: tracing,
	}
}

// gate checks in Kubewarden's order: the binding, then the grant, and only then the
// payload, which is for the capability to do.
type gate struct {
	answers map[string]capabilities.Capability
	caller  capabilities.Caller
	granted capabilities.Patterns
	tracing abi.Capabilities
}

// Call implements [abi.Capabilities].
func (g *gate) Call(ctx context.Context, call abi.HostCall) ([]byte, error) {
	if call.Binding != binding || call.Namespace == tracing {
		return g.tracing.Call(ctx, call)
	}
	path := call.Namespace + "/" + call.Operation
	if !g.granted.Matches(path) {
		return nil, fmt.Errorf("Policy has not been granted access to the '%s' host capability. The violation has been reported.", path) //nolint:revive,staticcheck // the text that Kubewarden's users know
	}
	capability := g.answers[call.Namespace]
	if capability == nil {
		return nil, errors.New("unknown namespace: " + call.Namespace)
	}
	return capability.Call(ctx, &g.caller, call.Operation, call.Payload)
}
