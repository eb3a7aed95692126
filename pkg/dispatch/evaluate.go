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

// evaluation is a request in the hands of a policy, and what becomes of it.
type evaluation struct {
	hook *hook
	// index is the policy's position among those of its phase.
	index int
	// mode is what is done with the answer, and configured what it would be if it were
	// not overridden.
	mode, configured wasmadmission.PolicyMode
	review           *review

	// What the policy says: a response, or an error if there is no verdict.
	response *abi.ValidationResponse
	usage    abi.Usage
	err      error
	// undecided is whether it could not even be told that the policy is to be asked, so
	// that its failure policy does not apply.
	undecided bool
	duration  time.Duration
	mutation  mutation
	// span is that of the evaluation, which ended when it did, and inside what bounds those
	// in it.
	span   spans.Span
	inside *spans.Bound
	ended  time.Time

	// What that comes to.
	judgement verdict.Judgement
	// refusal is what the request is rejected for, nil if it may go on, and unheeded
	// what it would be rejected for if the policy were not in monitor mode.
	refusal, unheeded *refusal
}

func (e *evaluation) policy() *policyset.Policy { return e.hook.policy }

// prepare returns a policy's evaluation of a request, to be run, or nil if the request
// does not match the policy. If that cannot be told, the evaluation has failed already.
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

// failed is the error of an evaluation that fails outside of the policy's module.
func (e *evaluation) failed(err error) error {
	return &policyset.EvaluationError{
		Policy: e.policy().Name(),
		Digest: e.policy().Digest(),
		Err:    err,
	}
}

// evaluate runs all evaluations, side by side.
func evaluate(ctx context.Context, b budget, evaluations []*evaluation) {
	if len(evaluations) == 0 {
		return
	}
	var others sync.WaitGroup
	others.Add(len(evaluations) - 1)
	for _, e := range evaluations[1:] {
		go e.runBeside(ctx, b, &others)
	}
	// The first runs here: most requests match one policy.
	evaluations[0].run(ctx, b)
	others.Wait()
}

// runBeside runs the evaluation in a goroutine of its own.
func (e *evaluation) runBeside(ctx context.Context, b budget, running *sync.WaitGroup) {
	defer running.Done()
	e.run(ctx, b)
}

// run asks the policy.
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
