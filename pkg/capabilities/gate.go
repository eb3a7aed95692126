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
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// binding is the only one that Kubewarden's SDKs use.
const binding = "kubewarden"

// tracingNamespace holds the capabilities that need no grant: writing a line to
// the log tells a policy nothing.
const tracingNamespace = "tracing"

const (
	// violationsPerSecond is how many violations of one policy are logged, with a burst
	// of violationBurst. One policy that is written wrongly makes one for each request.
	violationsPerSecond = 1
	violationBurst      = 10
	// loggedPathBytes is how much of a path that a guest made up is logged.
	loggedPathBytes = 256
)

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
// the guest. The payload is valid during the call only. Implementations are safe for
// concurrent use, do not change the caller, and return when ctx ends.
type Capability interface {
	Call(ctx context.Context, caller *Caller, operation string, payload []byte) ([]byte, error)
}

// Inventories has the inventories of policies that cannot make host calls.
// Implementations are safe for concurrent use.
type Inventories interface {
	// Inventory returns that of a policy; nil if the policy was granted no kinds.
	Inventory(caller *Caller) abi.Inventory
}

// FailedError says that a call was allowed and understood, and failed.
type FailedError struct{ Err error }

// Error implements the error interface with the text that Kubewarden's users know.
func (e *FailedError) Error() string { return "Callback evaluation failure: " + e.Err.Error() }

// Unwrap returns the error underneath.
func (e *FailedError) Unwrap() error { return e.Err }

// GateOptions say what a policy may call.
type GateOptions struct {
	// Caller is the policy.
	Caller Caller
	// Grants are the host capabilities that it may call; none grant nothing.
	Grants Patterns
	// Tracing answers the namespace tracing, which needs no grant. Required.
	Tracing Capability
	// Shared are the capabilities that need a grant, by namespace. One that is missing
	// fails with a message that says so. The map must not be changed any more.
	Shared map[string]Capability
}

// Gate stands between one policy and the capabilities. It implements
// [abi.Capabilities] and is safe for concurrent use.
type Gate struct {
	options GateOptions
	limiter *rate.Limiter
	// unlogged counts the violations since the last one that was logged.
	unlogged atomic.Int64
}

var _ abi.Capabilities = &Gate{}

// NewGate returns the gate of a policy.
func NewGate(options GateOptions) *Gate {
	return &Gate{options: options, limiter: rate.NewLimiter(violationsPerSecond, violationBurst)}
}

// Call implements [abi.Capabilities].
func (g *Gate) Call(ctx context.Context, call abi.HostCall) ([]byte, error) {
	if call.Namespace == tracingNamespace {
		return g.answer(ctx, call) // nobody waits for what is logged
	}
	ctx, span := spans.Start(ctx, spans.HostCall)
	answer, err := g.answer(ctx, call)
	if span.Recording() {
		describe(span, call, answer, err)
	}
	span.End()
	return answer, err
}

// describe tells a span of a host call. What a guest calls a capability that there is none
// of is its own word, which may be anything.
func describe(span spans.Span, call abi.HostCall, answer []byte, err error) {
	path := "unknown"
	if tree[call.Namespace].has(call.Operation) {
		path = call.Namespace + "/" + call.Operation
	}
	span.Set(attribute.String(spans.Capability, path), attribute.Int(spans.RequestBytes, len(call.Payload)), attribute.Int(spans.ResponseBytes, len(answer)))
	switch {
	case err == nil:
	case errors.As(err, new(*FailedError)):
		span.Fail("failed")
	default:
		span.Fail("refused")
	}
}

// answer asks the capability that is called. The checks come in Kubewarden's order: the
// binding, the grant, whether there is such a capability, and only then the payload,
// which is the capability's own business.
func (g *Gate) answer(ctx context.Context, call abi.HostCall) ([]byte, error) {
	if call.Binding != binding {
		return nil, fmt.Errorf("unknown binding: %s", call.Binding)
	}
	if call.Namespace == tracingNamespace {
		return g.ask(ctx, g.options.Tracing, call)
	}
	path := call.Namespace + "/" + call.Operation
	if !g.options.Grants.Matches(path) {
		g.report(ctx, path)
		return nil, fmt.Errorf("Policy has not been granted access to the '%s' host capability. The violation has been reported.", path) //nolint:revive,staticcheck // the text that Kubewarden's users know
	}
	operations, known := tree[call.Namespace]
	if !known {
		return nil, fmt.Errorf("unknown namespace: %s", call.Namespace)
	}
	if !operations.has(call.Operation) {
		return nil, fmt.Errorf("unknown operation: %s", call.Operation)
	}
	capability := g.options.Shared[call.Namespace]
	if capability == nil {
		return nil, &FailedError{fmt.Errorf("host capability %s is not available here", path)}
	}
	return g.ask(ctx, capability, call)
}

// ask calls a capability. A panic in it is told to the log, and to the guest only that
// there was one.
func (g *Gate) ask(ctx context.Context, capability Capability, call abi.HostCall) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			klog.FromContext(ctx).Error(fmt.Errorf("panic: %v", r), "Host capability failed", "policy", g.options.Caller.Policy,
				"namespace", call.Namespace, "operation", cut(call.Operation), "stack", string(debug.Stack()))
			answer, err = nil, &FailedError{fmt.Errorf("internal error in host capability %s", call.Namespace)}
		}
	}()
	return capability.Call(ctx, &g.options.Caller, call.Operation, call.Payload)
}

// report logs a violation, at a rate.
func (g *Gate) report(ctx context.Context, path string) {
	if !g.limiter.Allow() {
		g.unlogged.Add(1)
		return
	}
	keysAndValues := []any{"policy", g.options.Caller.Policy, "hostCapability", cut(path)}
	if unlogged := g.unlogged.Swap(0); unlogged > 0 {
		keysAndValues = append(keysAndValues, "unloggedBefore", unlogged)
	}
	klog.FromContext(ctx).Error(nil, "Policy used a host capability that it was not granted", keysAndValues...)
}

func cut(text string) string {
	if len(text) <= loggedPathBytes {
		return text
	}
	return strings.ToValidUTF8(text[:loggedPathBytes], "") + "…"
}
