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

// Package evaluation has policies answer requests outside an apiserver, with the engine,
// the limits and the conventions that a server has.
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

// Options say how policies are evaluated. Only Fetcher is required.
type Options struct {
	// Fetcher fetches their modules.
	Fetcher policyset.Fetcher
	// CodeDirectory is where compiled code is kept; "" means in memory.
	CodeDirectory string
	// Limits bound what policies may use; nil means those of a server that was told nothing.
	Limits *wasmadmission.Limits
	// Timeout bounds an evaluation's wall-clock time. Default: that of the limits.
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
	// An evaluation that fails is somebody's question, and none of many.
	config.CircuitBreaker.Failures = 0
	a, err := assembly.New(context.Background(), config, assembly.Options{
		Guests: host.Guests(), Fetcher: options.Fetcher,
		AdjustEngine: func(o *engine.Options) {
			// A command may end with a module that it was given, and others may have the directory.
			o.CacheDirectory, o.Compilation, o.Sampler = options.CodeDirectory, engine.InProcess, options.Sampler
		},
	})
	if err != nil {
		return nil, err
	}
	return &Evaluator{a}, nil
}

// Close frees what the evaluator holds. No policy may be in use.
func (e *Evaluator) Close() error { return e.assembly.Close() }

// Policy is a policy or group that is ready to answer. It is safe for concurrent use.
// Close it after use.
type Policy struct {
	// Raw is whether the policy is for raw requests.
	Raw bool
	// Denied are the kinds that the policy asks for and was not allowed to read.
	Denied []abi.ContextAwareResource

	policy *policyset.Policy
	terms  verdict.Terms
	// free lets go of the set that the policy is in.
	free func()
	// rawRefused says why raw requests cannot be answered, if so.
	rawRefused error
}

// newPolicies returns the policies of a set, which is freed once all of them are closed. If
// one fails, whoever asks sees how, whatever its failure policy is.
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

// Name returns what the policy is called.
func (p *Policy) Name() string { return p.terms.Name }

// Close frees the policy, with the last of those that were loaded with it. Further calls do
// nothing.
func (p *Policy) Close() { p.free() }

// ParseRequest reads a request for the policy as it is in a file, a raw one if raw is set or
// the policy is for such. Of an object a request is made.
func (p *Policy) ParseRequest(data []byte, raw bool, object review.Object) (*review.Request, error) {
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

// Review has the policy answer a request. The policy's log goes to the logger of the
// context.
func (p *Policy) Review(ctx context.Context, request *review.Request) *review.Response {
	if request.Raw && p.rawRefused != nil {
		return request.Respond(p.terms, nil, p.rawRefused)
	}
	answer, usage, err := p.policy.Evaluate(ctx, request.JSON)
	klog.FromContext(ctx).V(2).Info("Evaluated", "policy", p.Name(), "fuel", usage.Fuel, "memoryBytes", usage.MemoryBytes)
	if e := (*policyset.EvaluationError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return request.Respond(p.terms, answer, err)
}

// ValidateSettings asks the policy once more whether it can work with its settings.
func (p *Policy) ValidateSettings(ctx context.Context) error { return p.policy.ValidateSettings(ctx) }

// everything is a rule for policies whose rules nobody asks for.
var everything = []admissionregistrationv1.RuleWithOperations{{
	Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
	Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
}}
