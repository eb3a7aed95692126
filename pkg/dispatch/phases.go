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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// validate has a request evaluated by those candidates that it matches, side by side.
func (d *Dispatcher) validate(ctx context.Context, r *request, hooks []*hook,
	candidates bitset) error {
	within, cancel, b := startBudget(ctx, d.timeout)
	defer cancel()
	var evaluations []*evaluation
	for n := range candidates.all() {
		if e := d.prepare(within, r, hooks[n], n); e != nil {
			evaluations = append(evaluations, e)
		}
	}
	evaluate(within, b, evaluations)

	report := d.newReport(r)
	defer report.publish(ctx)
	var refusals []*refusal
	for _, e := range evaluations {
		e.judge()
		report.add(ctx, e)
		if e.refusal != nil {
			refusals = append(refusals, e.refusal)
		}
	}
	if len(refusals) == 0 && report.failures {
		return interrupted(ctx)
	}
	return reject(refusals)
}

// mutate has a request evaluated by those candidates that it matches, one after another,
// and changed as they want it. The first that refuses it ends this.
func (d *Dispatcher) mutate(ctx context.Context, r *request, hooks []*hook,
	candidates bitset) error {
	round := beginRound(r.attr)
	defer round.end(r.attr)
	within, cancel, b := startBudget(ctx, d.timeout)
	defer cancel()
	report := d.newReport(r)
	defer report.publish(ctx)
	for n := range candidates.all() {
		if !round.wants(hooks[n]) {
			continue
		}
		e := d.prepare(within, r, hooks[n], n)
		if e == nil {
			continue
		}
		e.run(within, b)
		e.judge()
		e.apply(r)
		report.add(ctx, e)
		round.evaluated(hooks[n], e.mutation.changed)
		if e.refusal != nil {
			return reject([]*refusal{e.refusal})
		}
		if e.err != nil && ctx.Err() != nil {
			return interrupted(ctx)
		}
	}
	if err := r.mutable.finish(); err != nil {
		return apierrors.NewInternalError(err)
	}
	return nil
}

// apply changes the object as the policy wants it, if it may. If it wants something that
// cannot be, the evaluation has failed.
func (e *evaluation) apply(r *request) {
	if !e.judgement.Mutates {
		return
	}
	if err := e.mutation.take(r); err != nil {
		e.err = e.failed(err)
		e.judge()
	}
}

// interrupted is the error of a request that ended while policies were evaluated, for
// which those failed. It does not go on, even if all of them may be ignored: whoever
// sends a request decides how long it may take. Nil means that it has not ended.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
}
