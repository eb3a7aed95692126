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

// validate evaluates a request concurrently with those candidates that it matches.
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

// mutate evaluates a request with those candidates that it matches, one after another, and applies
// their changes. It stops at the first that rejects the request.
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

// apply applies the policy's change to the object if the policy may mutate it. If the change is
// invalid, the evaluation has failed.
func (e *evaluation) apply(r *request) {
	if !e.judgement.Mutates {
		return
	}
	if err := e.mutation.take(r); err != nil {
		e.err = e.failed(err)
		e.judge()
	}
}

// interrupted returns an error if a request ended during the evaluation of policies, which made
// them fail, and nil otherwise. Such a request is rejected even if all these failures may be
// ignored. Otherwise a client could bypass policies with a short timeout.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
}
