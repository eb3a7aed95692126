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

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/groupexpression"
)

// group has the answers of a policy group: those of its members, combined.
type group struct {
	expression *groupexpression.Program
	message    string
	// members are policies by what the expression calls them.
	members map[string]*Policy
}

func (g *group) close() {
	for _, member := range g.members {
		member.evaluator.close()
	}
}

// evaluate asks the members that the expression needs, from left to right.
func (g *group) evaluate(ctx context.Context, request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	p := &poll{group: g, ctx: ctx, request: request, answers: map[string]answer{}, failures: map[string]error{}}
	accepted, err := g.expression.Evaluate(ctx, p.ask)
	if err == nil && accepted {
		err = p.requireCertainty()
	}
	switch {
	case err != nil:
		return nil, p.usage, fmt.Errorf(expressionError+": %w", err)
	case accepted:
		return &abi.ValidationResponse{Accepted: true}, p.usage, nil
	}
	return &abi.ValidationResponse{Message: g.message, Causes: p.causes()}, p.usage, nil
}
