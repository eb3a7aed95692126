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

// Package evaluation evaluates policies outside an apiserver, with the same engine, limits and
// conventions as a server.
package evaluation

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// Options configure an [Evaluator]. Only Fetcher is required.
type Options struct {
	// Fetcher fetches modules.
	Fetcher policyset.Fetcher
	// CodeDirectory is the directory for compiled code. With "", code is kept in memory.
	CodeDirectory string
	// Limits bound the resources of policies. Nil selects a server's default limits.
	Limits *wasmadmission.Limits
	// Timeout bounds the wall-clock time of an evaluation. The default comes from the limits.
	Timeout time.Duration
	// Sampler is told which functions of guests burn fuel; nil is not.
	Sampler *engine.Sampler
}

// Evaluator loads policies. It is safe for concurrent use. Close it after use.
type Evaluator struct{ assembly *assembly.Assembly }

// New returns an evaluator.
func New(options Options) (*Evaluator, error) {
	config, err := assembly.Decode(nil)
	if err != nil {
		return nil, err
	}
	if options.Limits != nil {
		config.Limits = *options.Limits
	}
	if options.Timeout > 0 {
		config.Limits.EvaluationTimeout = metav1.Duration{Duration: options.Timeout}
		config.Limits.RequestTimeout = config.Limits.EvaluationTimeout
	}
	// Users look at each failure themselves, so the circuit breaker is off.
	config.CircuitBreaker.Failures = 0
	a, err := assembly.New(context.Background(), config, assembly.Options{
		Guests: host.Guests(), Fetcher: options.Fetcher,
		AdjustEngine: func(o *engine.Options) {
			// A command may end with a module that it was given, and others may have the directory.
			o.CacheDirectory, o.Compilation, o.Sampler = options.CodeDirectory, engine.InProcess,
				options.Sampler
		},
	})
	if err != nil {
		return nil, err
	}
	return &Evaluator{a}, nil
}

// Close frees the evaluator. No policy may be in use.
func (e *Evaluator) Close() error { return e.assembly.Close() }

// Policy is a loaded policy or group. It is safe for concurrent use. Close it after use.
type Policy struct {
	// Raw reports whether the policy is for raw requests.
	Raw bool
	// Denied lists the kinds that the policy wants to read but may not.
	Denied []abi.ContextAwareResource

	policy *policyset.Policy
	terms  verdict.Terms
	// free releases the set that contains the policy.
	free func()
	// rawRefused says why the policy cannot answer raw requests, if it cannot.
	rawRefused error
}

// newPolicies returns the policies of a set. The set is freed once all of them are closed. Failures
// are visible to the user regardless of the failure policy.
func newPolicies(set *policyset.Set) (policies []*Policy) {
	open := &atomic.Int64{}
	open.Store(int64(len(set.Policies())))
	for _, policy := range set.Policies() {
		p := &Policy{policy: policy, terms: policy.Terms(), free: sync.OnceFunc(func() {
			if open.Add(-1) == 0 {
				set.Close()
			}
		})}
		p.terms.FailOpen = false
		policies = append(policies, p)
	}
	return policies
}

// Name returns the policy's name.
func (p *Policy) Name() string { return p.terms.Name }

// Close closes the policy. The last one of those that were loaded together frees them all. Further
// calls have no effect.
func (p *Policy) Close() { p.free() }

// ParseRequest parses the request in a file. It is a raw request if raw is set or the policy is for
// raw requests. If the file holds an object, a request is built from it.
func (p *Policy) ParseRequest(data []byte, raw bool,
	object review.Object) (*review.Request, error) {
	switch {
	case raw:
		return review.ParseRawRequest(data)
	case p.Raw:
		data, err := review.ToJSON(data)
		if err != nil {
			return nil, err
		}
		return review.ParseRawRequest(data)
	}
	return review.ParseFile(data, object)
}

// Review evaluates a request. The policy's log goes to the logger of the context.
func (p *Policy) Review(ctx context.Context, request *review.Request) *review.Response {
	if request.Raw && p.rawRefused != nil {
		return request.Respond(p.terms, nil, p.rawRefused)
	}
	answer, usage, err := p.policy.Evaluate(ctx, request.JSON)
	klog.FromContext(ctx).V(2).Info("Evaluated", "policy", p.Name(), "fuel", usage.Fuel,
		"memoryBytes", usage.MemoryBytes)
	if e := (*policyset.EvaluationError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return request.Respond(p.terms, answer, err)
}

// ValidateSettings makes the policy validate its settings again.
func (p *Policy) ValidateSettings(ctx context.Context) error {
	return p.policy.ValidateSettings(ctx)
}

// everything is a rule for policies whose rules are ignored.
var everything = []admissionregistrationv1.RuleWithOperations{{
	Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
	Rule: admissionregistrationv1.Rule{
		APIGroups:   []string{"*"},
		APIVersions: []string{"*"},
		Resources:   []string{"*/*"},
	},
}}
