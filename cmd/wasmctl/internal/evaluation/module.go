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

package evaluation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Module describes a policy to load from a module without a manifest.
type Module struct {
	// URI is the location of the module.
	URI string
	// Mode is the execution mode. With "", it comes from the metadata or is detected.
	Mode abi.ExecutionMode
	// Settings is a JSON object. Empty settings mean {}.
	Settings []byte
	// AllowContextAware grants the kinds that the module's metadata lists.
	AllowContextAware bool
	// Capabilities are the granted host capabilities.
	Capabilities capabilities.Patterns
	// Answers answers host calls. It is required.
	Answers *host.Answers
}

// SettingsError says that a policy refuses its settings.
type SettingsError struct{ Problem string }

// Error returns the text that Kubewarden's users know.
func (e *SettingsError) Error() string { return "Provided settings are not valid: " + e.Problem }

// Load loads a policy. The policy may change objects, and receives all requests. Errors about
// settings are of type [*SettingsError].
func (e *Evaluator) Load(ctx context.Context, m Module) (*Policy, error) {
	settings := m.Settings
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	config := *e.assembly.Config
	config.Policies = []wasmadmission.Policy{{
		Name: m.URI, Module: m.URI, Settings: runtime.RawExtension{Raw: settings},
		Rules: everything,
		Mode:  wasmadmission.ModeProtect, Mutating: true,
	}}
	metadata := &abi.Metadata{}
	loader := *e.assembly.Loader
	loader.Metadata = func(wasm []byte) (_ *abi.Metadata, err error) {
		metadata, err = readMetadata(wasm, m.Mode)
		return metadata, err
	}
	loader.Adjust = func(spec *wasmadmission.Policy, env *abi.Environment) {
		grants := host.Grants{Capabilities: m.Capabilities}
		if m.AllowContextAware {
			grants.Resources = metadata.ContextAwareResources
		}
		adjust(spec, env, m.Answers, grants)
	}
	set, errs := loader.Load(ctx, &config)
	if len(errs) > 0 {
		return nil, explain(m.URI, errs)
	}
	p := newPolicies(set)[0]
	p.Raw = metadata.PolicyType == "raw"
	if !m.AllowContextAware {
		p.Denied = metadata.ContextAwareResources
	}
	if metadata.ExecutionMode == abi.ExecutionModeGatekeeper {
		p.rawRefused = errors.New("Gatekeeper does not support raw validation requests") //nolint:staticcheck // the text that Kubewarden's users know
	}
	return p, nil
}

// explain rewords the problems of a policy for users who have no configuration.
func explain(uri string, errs field.ErrorList) error {
	var problems []string
	for _, err := range errs {
		if strings.HasSuffix(err.Field, ".settings") {
			// kwctl prints only the policy's words, and users compare the line.
			return &SettingsError{strings.TrimPrefix(err.Detail, policyset.SettingsRefused)}
		}
		problems = append(problems, err.Detail)
	}
	return fmt.Errorf("loading %s: %s", module.Redact(uri), strings.Join(problems, "\n"))
}

// readMetadata reads a module's metadata. A module without metadata gets the given mode or, by
// default, waPC. It is an error if the module is evidently a Rego policy and no mode is given.
func readMetadata(binary []byte, mode abi.ExecutionMode) (*abi.Metadata, error) {
	decoded, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(decoded.Custom, func(c wasm.CustomSection) bool {
		return c.Name == abi.MetadataSection
	}) {
		metadata, err := abi.ReadMetadata(binary)
		if err == nil && mode != "" {
			metadata.ExecutionMode = mode
		}
		return metadata, err
	}
	switch {
	case mode == "" && host.IsRego(decoded):
		return nil, errors.New("The policy has been created with Rego, please specify which Opa runtime has to be used: --execution-mode opa or gatekeeper") //nolint:staticcheck // the text that Kubewarden's users know
	case mode == "":
		mode = abi.ExecutionModeWaPC
	}
	return &abi.Metadata{ExecutionMode: mode}, nil
}

// executionModes maps the names of modes: those in metadata, and those of kwctl's flag.
var executionModes = map[string]abi.ExecutionMode{
	"kubewarden-wapc": abi.ExecutionModeWaPC, "kubewarden": abi.ExecutionModeWaPC,
	"wasi":       abi.ExecutionModeWASI,
	"opa":        abi.ExecutionModeOPA,
	"gatekeeper": abi.ExecutionModeGatekeeper,
}

// ExecutionModes returns the sorted names of modes.
func ExecutionModes() []string { return slices.Sorted(maps.Keys(executionModes)) }

// ParseExecutionMode parses the name of an execution mode. An empty name is valid and stands for no
// mode.
func ParseExecutionMode(name string) (abi.ExecutionMode, error) {
	mode, known := executionModes[name]
	if name != "" && !known {
		return "", fmt.Errorf("Unknown policy execution mode %q: write opa, gatekeeper, kubewarden-wapc or wasi", name) //nolint:staticcheck // the text that Kubewarden's users know
	}
	return mode, nil
}

// DescribeRego asks a Rego policy for its requirements and its entrypoints.
func (e *Evaluator) DescribeRego(ctx context.Context, binary []byte) (*host.Rego, error) {
	return host.DescribeRego(ctx, e.assembly.Loader.Engine, binary)
}

// ProtocolVersion asks a waPC guest for its version of the protocol.
func (e *Evaluator) ProtocolVersion(ctx context.Context, binary []byte) (string, error) {
	guest, err := wapc.Load(ctx, e.assembly.Loader.Engine, binary)
	if err != nil {
		return "", err
	}
	defer guest.Close()
	limits := &e.assembly.Config.Limits
	return guest.ProtocolVersion(ctx,
		&abi.Environment{
			Timeout: limits.EvaluationTimeout.Duration,
			Limits:  policyset.GuestLimits(limits),
		})
}
