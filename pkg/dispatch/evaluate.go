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

package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// evaluation is what became of one invocation: a response, or an error if there
// is no verdict.
type evaluation struct {
	policy   *policyset.Policy
	review   *review
	response *abi.ValidationResponse
	err      error
	duration time.Duration
}

// evaluate runs all invocations, side by side, and returns what became of them
// in the same order.
func evaluate(ctx context.Context, invocations []invocation) []evaluation {
	evaluations := make([]evaluation, len(invocations))
	if len(invocations) == 0 {
		return nil
	}
	var others sync.WaitGroup
	for n := range invocations[1:] {
		others.Go(func() { evaluations[n+1] = evaluateOne(ctx, &invocations[n+1]) })
	}
	// The first runs here: most requests match one policy.
	evaluations[0] = evaluateOne(ctx, &invocations[0])
	others.Wait()
	return evaluations
}

func evaluateOne(ctx context.Context, call *invocation) (e evaluation) {
	start := time.Now()
	e.policy, e.review = call.policy, call.review
	defer func() {
		if r := recover(); r != nil {
			e.response, e.err = nil, fmt.Errorf("policy %q: panic during evaluation: %v", call.policy.Name(), r)
		}
		e.duration = time.Since(start)
	}()
	e.response, e.err = call.policy.Evaluate(ctx, call.review.json)
	return e
}
