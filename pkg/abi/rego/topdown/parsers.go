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

package topdown

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
)

// Parsers call themselves as deeply as their text says, for a KiB or two of stack each
// time, and what they return is a hundred times as long as the text: so texts are short.
const (
	maxGraphQLBytes = 16 << 10
	maxModuleBytes  = 8 << 10
	// maxModuleDepth is how deeply expressions of a module may nest. To write a module as
	// JSON, each level is written again for each one that it is in.
	maxModuleDepth = 100
)

// guardGraphQL bounds texts of GraphQL that are parsed.
func guardGraphQL(operands []*ast.Term, _ *rego.BuiltinCall) error {
	for _, operand := range operands {
		if text, ok := operand.Value.(ast.String); ok && len(text) > maxGraphQLBytes {
			return exceeds("bytes of GraphQL", int64(len(text)), maxGraphQLBytes)
		}
	}
	return nil
}

// guardModule bounds modules of Rego that are parsed.
func guardModule(operands []*ast.Term, _ *rego.BuiltinCall) error {
	if len(operands) != 2 {
		return nil
	}
	text, _ := operands[1].Value.(ast.String)
	if err := exceeds("bytes of a module", int64(len(text)), maxModuleBytes); err != nil {
		return err
	}
	module, err := ast.ParseModule("", string(text))
	if err != nil {
		return nil //nolint:nilerr // the function says what is wrong
	}
	depth, deepest := int64(0), int64(0)
	ast.NewBeforeAfterVisitor(
		func(any) bool {
			depth++
			deepest = max(deepest, depth)
			return false
		},
		func(any) { depth-- },
	).Walk(module)
	return exceeds("levels of a module", deepest, maxModuleDepth)
}
