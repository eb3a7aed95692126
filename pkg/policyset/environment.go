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

package policyset

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/tracing"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// Capabilities are the host capabilities that all policies share.
type Capabilities struct {
	// ByNamespace answer host calls. A call to a namespace that is not in the map fails with a
	// message.
	ByNamespace map[string]capabilities.Capability
	// Inventories are for policies that cannot make host calls. If it is nil, such a policy fails
	// if it was granted resources.
	Inventories capabilities.Inventories
}

// caller returns the identity under which a policy makes host calls. A namespaced policy reads
// nothing of the cluster, whatever its fields say.
func caller(spec *wasmadmission.Policy,
	config *wasmadmission.WasmAdmissionConfiguration) capabilities.Caller {
	c := capabilities.Caller{Policy: spec.Name}
	if spec.Namespace != "" {
		return c
	}
	for _, resource := range spec.ContextAwareResources {
		c.Resources = append(c.Resources, abi.ContextAwareResource(resource))
	}
	c.Secrets = slices.Contains(config.Capabilities.Kubernetes.SecretReaders, spec.Name)
	return c
}

// GuestLimits returns the limits of an evaluation from those of the configuration.
func GuestLimits(limits *wasmadmission.Limits) abi.Limits {
	return abi.Limits{
		RequestBytes:         limits.RequestSize,
		ResponseBytes:        limits.ResponseSize,
		HostCallPayloadBytes: limits.HostCallPayloadSize,
		HostCalls:            int64(limits.HostCalls),
		LogLineBytes:         limits.LogLineSize,
	}
}

// environment returns the environment of a policy's guest.
func (l *Loader) environment(spec *wasmadmission.Policy,
	config *wasmadmission.WasmAdmissionConfiguration) (*abi.Environment, error) {
	grants, err := capabilities.ParsePatterns(spec.HostCapabilities)
	if err != nil {
		return nil, err
	}
	limits, who := &config.Limits, caller(spec, config)
	log := tracing.NewLog(spec.Name, int(limits.GuestLogLinesPerSecond), int(limits.LogLineSize))
	env := &abi.Environment{
		Capabilities: capabilities.NewGate(capabilities.GateOptions{
			Caller: who, Grants: grants, Tracing: log, Shared: l.Capabilities.ByNamespace,
		}),
		Log:     log,
		Limits:  GuestLimits(limits),
		Timeout: limits.EvaluationTimeout.Duration,
	}
	if spec.TimeoutEvalSeconds != nil {
		env.Timeout = time.Duration(*spec.TimeoutEvalSeconds) * time.Second
	}
	if len(who.Resources) > 0 {
		env.Inventory = noInventory{}
		if l.Capabilities.Inventories != nil {
			env.Inventory = tracedInventory{l.Capabilities.Inventories.Inventory(&who)}
		}
	}
	return env, nil
}

// noInventory always fails: a policy that decides by the cluster must not see an empty one.
type noInventory struct{}

func (noInventory) Inventory(context.Context, abi.ExecutionMode) ([]byte, uint64, error) {
	return nil, 0, fmt.Errorf(
		"the policy was granted resources of the cluster, which this server cannot read")
}

// tracedInventory records the reads of the cluster in the request's trace.
type tracedInventory struct{ traced abi.Inventory }

func (i tracedInventory) Inventory(ctx context.Context,
	mode abi.ExecutionMode) ([]byte, uint64, error) {
	ctx, span := spans.Start(ctx, spans.Inventory)
	document, generation, err := i.traced.Inventory(ctx, mode)
	if span.Recording() {
		span.Set(attribute.Int(spans.ResponseBytes, len(document)))
		if err != nil {
			span.Fail("failed")
		}
	}
	span.End()
	return document, generation, err
}

// warnings tell the administrator what a policy asks for and does not get.
func (p *Policy) warnings(metadata *abi.Metadata,
	config *wasmadmission.WasmAdmissionConfiguration) (warnings []Warning) {
	add := func(kind WarningKind, text string, details ...any) {
		warnings = append(warnings,
			Warning{Kind: kind, Policy: p.Name(), Text: text, Details: details})
	}
	if metadata.Mutating && !p.spec.Mutating {
		add(Notice,
			"Policy can mutate objects but is not allowed to: requests that it wants to change are rejected")
	}
	who := caller(&p.spec, config)
	var resources []abi.ContextAwareResource
	for _, wanted := range metadata.ContextAwareResources {
		if !slices.Contains(who.Resources, wanted) {
			resources = append(resources, wanted)
		}
	}
	if len(resources) > 0 {
		add(Notice, "Policy asks for resources that it is not granted",
			"contextAwareResources", resources)
	}
	if slices.Contains(who.Resources, abi.ContextAwareResource{APIVersion: "v1", Kind: "Secret"}) &&
		!who.Secrets {
		add(Probable,
			"Policy may not read Secrets: name it in capabilities.kubernetes.secretReaders if it should, or remove the kind from its contextAwareResources")
	}
	if missing := notGranted(metadata.HostCapabilities, p.spec.HostCapabilities); len(missing) > 0 {
		add(Notice, "Policy asks for host capabilities that it is not granted",
			"hostCapabilities", missing)
	}
	return warnings
}

// notGranted returns the patterns that a module asks for and that the grants do not cover
// completely.
func notGranted(wanted, granted []string) (missing []string) {
	grants, err := capabilities.ParsePatterns(granted)
	if err != nil {
		return wanted
	}
	for _, pattern := range wanted {
		// A group of capabilities is granted by its own pattern or by a wider one. A wider one
		// matches the text of a pattern like that of a path.
		if !slices.Contains(granted, pattern) && !grants.Matches(pattern) {
			missing = append(missing, pattern)
		}
	}
	return missing
}

// guest evaluates a policy that is one module.
type guest struct {
	module   abi.Guest
	env      *abi.Environment
	settings []byte
	// omits are the fields to leave out of requests.
	omits []wasmadmission.OmittedField
}

func (g *guest) evaluate(ctx context.Context,
	request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	if len(g.omits) > 0 {
		return g.evaluateWithout(ctx, request)
	}
	return g.module.Validate(ctx, g.env, request, g.settings)
}

func (g *guest) close() { g.module.Close() }
