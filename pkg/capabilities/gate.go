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

// Package capabilities answers the host calls of policies. It decides which host capabilities a
// policy may call, and forwards each call to the capability. Each capability has its own package
// below this one. All calls pass through the [Gate].
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

// binding is the only binding that Kubewarden's SDKs use.
const binding = "kubewarden"

// tracingNamespace holds the capabilities that need no grant, because writing a line to the log
// tells a policy nothing.
const tracingNamespace = "tracing"

const (
	// violationsPerSecond is the number of violations logged per second and policy, with a burst of
	// violationBurst. A faulty policy causes a violation for each request.
	violationsPerSecond = 1
	violationBurst      = 10
	// loggedPathBytes is the number of bytes logged of a path that a guest made up.
	loggedPathBytes = 256
)

// Caller is the policy that makes a host call, with its permissions to read.
type Caller struct {
	// Policy is the policy's name.
	Policy string
	// Resources are the kinds that the policy may read.
	Resources []abi.ContextAwareResource
	// Secrets reports whether the policy may read Secrets. Listing the kind in Resources is not
	// enough.
	Secrets bool
}

// Capability answers the host calls of one namespace. The text of an error goes to the guest. The
// payload is valid only during the call. Implementations are safe for concurrent use, do not modify
// the caller, and return when ctx ends.
type Capability interface {
	Call(ctx context.Context, caller *Caller, operation string, payload []byte) ([]byte, error)
}

// Inventories provides the inventories of policies that cannot make host calls. Implementations are
// safe for concurrent use.
type Inventories interface {
	// Inventory returns the policy's inventory, or nil if the policy may read no kinds.
	Inventory(caller *Caller) abi.Inventory
}

// FailedError says that a valid and permitted call failed.
type FailedError struct{ Err error }

// Error returns the text that Kubewarden's users know.
func (e *FailedError) Error() string { return "Callback evaluation failure: " + e.Err.Error() }

// Unwrap returns the underlying error.
func (e *FailedError) Unwrap() error { return e.Err }

// GateOptions say which capabilities a policy may call.
type GateOptions struct {
	// Caller is the policy.
	Caller Caller
	// Grants are the host capabilities that the policy may call. Empty grants allow none.
	Grants Patterns
	// Tracing answers the namespace tracing, which needs no grant. It is required.
	Tracing Capability
	// Shared holds the capabilities that need a grant, by namespace. A call of a missing one fails
	// with an error that says so. The caller must not modify the map afterwards.
	Shared map[string]Capability
}

// Gate decides which capabilities one policy may call. It implements [abi.Capabilities] and is safe
// for concurrent use.
type Gate struct {
	options GateOptions
	limiter *rate.Limiter
	// unlogged counts the violations since the last logged one.
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
		return g.answer(ctx, call) // logging has no latency worth a span
	}
	ctx, span := spans.Start(ctx, spans.HostCall)
	answer, err := g.answer(ctx, call)
	if span.Recording() {
		describe(span, call, answer, err)
	}
	span.End()
	return answer, err
}

// describe sets the attributes of a host call's span. The name of an unknown capability is not
// recorded, because the guest could choose any text.
func describe(span spans.Span, call abi.HostCall, answer []byte, err error) {
	path := "unknown"
	if tree[call.Namespace].has(call.Operation) {
		path = call.Namespace + "/" + call.Operation
	}
	span.Set(attribute.String(spans.Capability, path),
		attribute.Int(spans.RequestBytes, len(call.Payload)),
		attribute.Int(spans.ResponseBytes, len(answer)))
	switch {
	case err == nil:
	case errors.As(err, new(*FailedError)):
		span.Fail("failed")
	default:
		span.Fail("refused")
	}
}

// answer forwards a call to its capability. It checks in Kubewarden's order: first the binding,
// then the grant, then whether the capability exists. The capability checks the payload.
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

// ask calls a capability. It logs the details of a panic, and tells the guest only that an internal
// error occurred.
func (g *Gate) ask(ctx context.Context, capability Capability,
	call abi.HostCall) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			klog.FromContext(ctx).Error(fmt.Errorf("panic: %v", r), "Host capability failed",
				"policy", g.options.Caller.Policy, "namespace", call.Namespace,
				"operation", cut(call.Operation), "stack", string(debug.Stack()))
			answer, err = nil, &FailedError{
				fmt.Errorf("internal error in host capability %s", call.Namespace),
			}
		}
	}()
	return capability.Call(ctx, &g.options.Caller, call.Operation, call.Payload)
}

// report logs a violation, up to the rate limit.
func (g *Gate) report(ctx context.Context, path string) {
	if !g.limiter.Allow() {
		g.unlogged.Add(1)
		return
	}
	keysAndValues := []any{"policy", g.options.Caller.Policy, "hostCapability", cut(path)}
	if unlogged := g.unlogged.Swap(0); unlogged > 0 {
		keysAndValues = append(keysAndValues, "unloggedBefore", unlogged)
	}
	klog.FromContext(ctx).
		Error(nil, "Policy used a host capability that it was not granted", keysAndValues...)
}

func cut(text string) string {
	if len(text) <= loggedPathBytes {
		return text
	}
	return strings.ToValidUTF8(text[:loggedPathBytes], "") + "…"
}
