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
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// evaluation is the evaluation of a request by one policy, with its result.
type evaluation struct {
	hook *hook
	// index is the policy's position among those of its phase.
	index int
	// mode is the mode that applies to the answer, and configured the mode that would apply without
	// an override.
	mode, configured wasmadmission.PolicyMode
	review           *review

	// What the policy answered: a response, or an error if there is no verdict.
	response *abi.ValidationResponse
	usage    abi.Usage
	err      error
	// undecided is set if it is unknown whether the policy matches. Its failure policy does not
	// apply then.
	undecided bool
	duration  time.Duration
	mutation  mutation
	// span is the span of the evaluation, and ended the time when the evaluation ended. inside
	// bounds the spans within it.
	span   spans.Span
	inside *spans.Bound
	ended  time.Time

	// What follows from the answer.
	judgement verdict.Judgement
	// refusal is the reason to reject the request, or nil. unheeded is the reason for which it
	// would be rejected if the policy were not in monitor mode.
	refusal, unheeded *refusal
}

func (e *evaluation) policy() *policyset.Policy { return e.hook.policy }

// prepare returns a policy's evaluation of a request, which the caller must run. It returns nil if
// the request does not match the policy. If matching fails, the evaluation has already failed.
func (d *Dispatcher) prepare(ctx context.Context, r *request, h *hook, index int) *evaluation {
	call, err := d.matcher.match(ctx, r, h)
	if call == nil && err == nil {
		return nil
	}
	e := &evaluation{hook: h, index: index}
	e.configured = h.policy.Spec().Mode
	e.mode = e.configured
	if d.overrides != nil {
		e.mode = d.overrides.Mode(h.policy.Name(), e.configured)
	}
	if err == nil {
		if e.review, err = r.review(call); err != nil {
			err = apierrors.NewInternalError(err)
		}
	}
	if err != nil {
		var condition *conditionError
		e.undecided = !errors.As(err, &condition)
		e.err = e.failed(err)
	}
	return e
}

// failed returns the error of an evaluation that fails outside the policy's module.
func (e *evaluation) failed(err error) error {
	return &policyset.EvaluationError{
		Policy: e.policy().Name(),
		Digest: e.policy().Digest(),
		Err:    err,
	}
}

// evaluate runs all evaluations concurrently.
func evaluate(ctx context.Context, b budget, evaluations []*evaluation) {
	if len(evaluations) == 0 {
		return
	}
	var others sync.WaitGroup
	others.Add(len(evaluations) - 1)
	for _, e := range evaluations[1:] {
		go e.runBeside(ctx, b, &others)
	}
	// The first one needs no goroutine. Most requests match only one policy.
	evaluations[0].run(ctx, b)
	others.Wait()
}

// runBeside runs the evaluation in its own goroutine.
func (e *evaluation) runBeside(ctx context.Context, b budget, running *sync.WaitGroup) {
	defer running.Done()
	e.run(ctx, b)
}

// run calls the policy.
func (e *evaluation) run(ctx context.Context, b budget) {
	ctx = e.trace(ctx)
	if e.err != nil {
		return
	}
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			e.response, e.err = nil,
				fmt.Errorf("policy %q: panic during evaluation: %v", e.policy().Name(), r)
		}
		e.ended = time.Now()
		e.duration = e.ended.Sub(start)
	}()
	e.response, e.usage, e.err = e.policy().Evaluate(ctx, e.review.json)
	if e.err != nil {
		e.err = b.blame(e.err)
		return
	}
	e.mutation = readMutation(e.review, e.response)
}
