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

// Package host provides the environment of policies in wasmctl: the execution modes and the answers
// to host calls. New execution modes and capabilities are added here.
package host

import (
	"context"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Guests returns the loaders for execution modes that need their own library. They are the same as
// in a server.
func Guests() map[abi.ExecutionMode]policyset.GuestLoader {
	return map[abi.ExecutionMode]policyset.GuestLoader{
		abi.ExecutionModeOPA:        topdown.Loader(abi.ExecutionModeOPA),
		abi.ExecutionModeGatekeeper: topdown.Loader(abi.ExecutionModeGatekeeper),
	}
}

// IsRego reports whether the Open Policy Agent's compiler built a module, by kwctl's criteria.
func IsRego(m *wasm.Module) bool {
	return slices.ContainsFunc(m.Exports, func(e wasm.Export) bool {
		return strings.HasPrefix(e.Name, "opa_")
	})
}

// Rego is a Rego policy's description of itself. The policy controls all of it.
type Rego struct {
	// Entrypoints lists the policy's entrypoints. Evaluations use the first one.
	Entrypoints []string `json:"entrypoints"`
	// Builtins lists the built-in functions that the policy requires from its host. MissingBuiltins
	// are those that no host provides, so that no server loads the policy. WithheldReasons has the
	// reasons for existing functions.
	Builtins        []string          `json:"builtins"`
	MissingBuiltins []string          `json:"missingBuiltins"`
	WithheldReasons map[string]string `json:"withheldReasons,omitempty"`
}

// DescribeRego asks a Rego policy for its requirements and its entrypoints.
func DescribeRego(ctx context.Context, e *engine.Engine, binary []byte) (*Rego, error) {
	r := &Rego{Builtins: []string{}, MissingBuiltins: []string{}}
	guest, err := rego.Load(ctx, e, binary, abi.ExecutionModeOPA, (*listener)(r))
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	r.Entrypoints = guest.Entrypoints()
	return r, nil
}

// listener provides all built-in functions, and records which ones the policy requires.
type listener Rego

// Builtin implements [rego.Builtins].
func (l *listener) Builtin(name string) rego.Builtin {
	l.Builtins = append(l.Builtins, name)
	if (topdown.Builtins{}).Builtin(name) == nil {
		l.MissingBuiltins = append(l.MissingBuiltins, name)
		if reason := (topdown.Builtins{}).Withheld(name); reason != "" {
			if l.WithheldReasons == nil {
				l.WithheldReasons = map[string]string{}
			}
			l.WithheldReasons[name] = reason
		}
	}
	return func(*rego.BuiltinCall) ([]byte, error) { return nil, nil }
}

// Withheld implements [rego.Builtins].
func (l *listener) Withheld(string) string { return "" }
