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
	"errors"
	"sync/atomic"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
)

// guarded protects the evaluator of a policy. It limits how many evaluations run at a time, and its
// circuit breaker stops evaluations of a policy that keeps failing.
type guarded struct {
	evaluator
	policy   string
	digest   string
	recorder Recorder
	breaker  *breaker.Breaker
	// limit is how many evaluations may run at a time, or 0 if they are not limited here. busy is
	// how many are running.
	limit int64
	busy  atomic.Int64
}

// errPanicked is the error that a breaker gets for an evaluation that panicked. The caller recovers
// from the panic.
var errPanicked = errors.New("panic during evaluation")

func (g *guarded) evaluate(ctx context.Context,
	request []byte) (response *abi.ValidationResponse, usage abi.Usage, err error) {
	if err := g.enter(); err != nil {
		return nil, usage, err
	}
	defer g.busy.Add(-1)
	attempt, err := g.breaker.Begin()
	if err != nil {
		return nil, usage, err
	}
	err = errPanicked // until the evaluation returns
	defer func() { end(ctx, attempt, err) }()
	return g.evaluator.evaluate(ctx, request)
}

// enter counts an evaluation against the limit. Unless it returns an error, the caller must call
// busy.Add(-1) afterward.
func (g *guarded) enter() error {
	busy := g.busy.Add(1)
	if g.limit == 0 || busy <= g.limit {
		return nil
	}
	g.busy.Add(-1)
	g.recorder.CountOverload(g.policy)
	return &engine.Error{Digest: g.digest, Phase: engine.PhaseStart, Cause: engine.CauseShed,
		Err: &engine.LimitError{
			Limit: "evaluations of one policy at a time (limits.policyEvaluations)",
			Value: busy,
			Max:   g.limit,
		}}
}

func end(ctx context.Context, attempt breaker.Attempt, err error) {
	switch {
	case err == nil:
		attempt.Succeeded(ctx)
	case blameless(ctx, err):
		attempt.Abandoned()
	default:
		attempt.Failed(ctx, err)
	}
}

// blameless reports whether a policy had no chance to answer. A policy must not look broken because
// of a client's decisions, such as to give up or how long to wait, or because of a shortage that
// affects everybody.
func blameless(ctx context.Context, err error) bool {
	if shortage := (*abi.ShortageError)(nil); errors.As(err, &shortage) {
		return true
	}
	switch engine.CauseOf(err) {
	case engine.CauseCanceled, engine.CauseShed:
		return true
	case engine.CauseDeadline:
		// The request's time was up, or the policy's own before it got an instance.
		return ctx.Err() != nil || withoutInstance(err)
	case engine.CauseLimit:
		// The limit is on the memory of all instances, or on the size of the request.
		var limit *engine.LimitError
		return withoutInstance(err) || errors.As(err, &limit) &&
			limit.Limit == abi.LimitRequestBytes
	}
	// A group returns this cause if its time is up between two members.
	return ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
}

// withoutInstance reports whether an evaluation failed before it got an instance.
func withoutInstance(err error) bool {
	var e *engine.Error
	return errors.As(err, &e) && e.Phase == engine.PhaseStart
}

// notify records and logs a transition of the policy's breaker.
func (g *guarded) notify(ctx context.Context, t breaker.Transition) {
	logger := klog.FromContext(ctx)
	if t.Open {
		g.recorder.AddOpenBreakers(g.policy, 1)
		g.recorder.CountBreakerTransition(g.policy, "open")
		logger.Error(t.Last,
			"Circuit breaker opened: the policy keeps failing and is evaluated only now and then, to see whether it recovers",
			"policy", g.policy, "moduleDigest", g.digest, "failures", t.Failures,
			"cause", engine.CauseOf(t.Last))
		return
	}
	g.recorder.AddOpenBreakers(g.policy, -1)
	g.recorder.CountBreakerTransition(g.policy, "closed")
	logger.Info("Circuit breaker closed: the policy is evaluated again",
		"policy", g.policy, "moduleDigest", g.digest, "openSince", t.Since, "failures", t.Failures)
}

// close frees the policy. An open breaker that goes away counts as no longer open.
func (g *guarded) close() {
	if g.breaker.Open() {
		g.recorder.AddOpenBreakers(g.policy, -1)
	}
	g.evaluator.close()
	g.recorder.PolicyFreed(g.policy)
}
