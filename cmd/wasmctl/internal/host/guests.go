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

// Package host is what policies find around them in wasmctl: the execution modes that it
// knows, and what answers host calls. It is where an execution mode or a capability is
// plugged in.
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

// Guests returns how policies of the execution modes are loaded that need a library of
// their own. Those that a server links are the same.
func Guests() map[abi.ExecutionMode]policyset.GuestLoader {
	return map[abi.ExecutionMode]policyset.GuestLoader{
		abi.ExecutionModeOPA:        topdown.Loader(abi.ExecutionModeOPA),
		abi.ExecutionModeGatekeeper: topdown.Loader(abi.ExecutionModeGatekeeper),
	}
}

// IsRego is whether the compiler of the Open Policy Agent made a module, as kwctl tells it.
func IsRego(m *wasm.Module) bool {
	return slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return strings.HasPrefix(e.Name, "opa_") })
}

// Rego is what a policy in Rego says of itself. All of it is the policy's word.
type Rego struct {
	// Entrypoints are what it was compiled with; the first is what is evaluated.
	Entrypoints []string `json:"entrypoints"`
	// Builtins are the built-in functions of Rego that it wants of its host, and
	// MissingBuiltins those of them that it does not get, for which no server loads it.
	// WithheldReasons say why not, for those that exist.
	Builtins        []string          `json:"builtins"`
	MissingBuiltins []string          `json:"missingBuiltins"`
	WithheldReasons map[string]string `json:"withheldReasons,omitempty"`
}

// DescribeRego asks a policy in Rego what it needs and offers.
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

// listener has all built-in functions, and notes which of them are wanted.
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
