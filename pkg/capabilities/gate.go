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

// Package capabilities answers the host calls of policies: the questions that a
// guest may ask of its host, and whether it may ask them. Each kind of question
// has a package of its own below this one; all of them are reached through the
// [Gate].
package capabilities

import (
	"context"
	"fmt"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// binding is the only one that Kubewarden's SDKs use.
const binding = "kubewarden"

// tracingNamespace holds the capabilities that need no grant: writing a line to
// the log tells a policy nothing.
const tracingNamespace = "tracing"

// Caller is the policy that a host call comes from, and what it may read.
type Caller struct {
	// Policy is the policy's name.
	Policy string
	// Resources are the kinds that the policy was granted to read.
	Resources []abi.ContextAwareResource
	// Secrets is whether Secrets may be among them: naming the kind is not enough.
	Secrets bool
}

// Capability answers the host calls of one namespace. An error's text goes to
// the guest. Implementations are safe for concurrent use and do not change the caller.
type Capability interface {
	Call(ctx context.Context, caller *Caller, operation string, payload []byte) ([]byte, error)
}

// Gate stands between one policy and the capabilities. It implements
// [abi.Capabilities] and is safe for concurrent use.
type Gate struct {
	caller  Caller
	tracing Capability
}

var _ abi.Capabilities = &Gate{}

// NewGate returns the gate of a policy that was granted nothing. Tracing, which
// needs no grant, is answered by the capability given.
func NewGate(policy string, tracing Capability) *Gate {
	return &Gate{caller: Caller{Policy: policy}, tracing: tracing}
}

// Call implements [abi.Capabilities]. The checks come in Kubewarden's order:
// the binding, then the grant, and only then the payload.
func (g *Gate) Call(ctx context.Context, call abi.HostCall) ([]byte, error) {
	if call.Binding != binding {
		return nil, fmt.Errorf("unknown binding: %s", call.Binding)
	}
	if call.Namespace == tracingNamespace {
		return g.tracing.Call(ctx, &g.caller, call.Operation, call.Payload)
	}
	path := call.Namespace + "/" + call.Operation
	klog.FromContext(ctx).Error(nil, "Policy used a host capability that it was not granted", "policy", g.caller.Policy, "hostCapability", path)
	return nil, fmt.Errorf("Policy has not been granted access to the '%s' host capability. The violation has been reported.", path) //nolint:revive,staticcheck // the text that Kubewarden's users know
}
