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

// Package dispatch passes an admission request to the policies that match it, and combines their
// verdicts into one answer.
//
// It matches with the machinery of admission webhooks, so that rules, selectors, match policies and
// match conditions have the same meaning. An index by resource and operation comes first. It only
// saves time: it may let too many policies through, but never too few.
package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// Config configures a dispatcher. Client, Informers and Authorizer are required.
type Config struct {
	// Client is the apiserver's client of itself. It gets namespaces that the informer has not seen
	// yet.
	Client kubernetes.Interface
	// Informers provide the labels of namespaces. They may start later.
	Informers informers.SharedInformerFactory
	// Authorizer answers for the authorizer variable of match conditions.
	Authorizer authorizer.UnconditionalAuthorizer
	// Excluded are resources that are never evaluated, whatever the policies' rules say.
	Excluded []schema.GroupResource
	// Exemptions say which requests are never evaluated.
	Exemptions wasmadmission.Exemptions
	// Recorder records what happens. nil discards everything.
	Recorder Recorder
	// RequestTimeout is the wall-clock time that all policies together may take for one request in
	// one phase of admission. Policies that take longer have failed. 0 means no limit.
	RequestTimeout time.Duration
	// UnknownFields says what happens to fields in mutated objects that the objects' kinds do not
	// have. "" means that the policy has failed.
	UnknownFields wasmadmission.UnknownFields
	// Overrides change the modes of policies. nil changes none.
	Overrides Overrides
}

// Overrides change the modes of policies while requests are served. Implementations must be fast
// and safe for concurrent use.
type Overrides interface {
	// Mode returns the mode of a policy, which may be the configured one.
	Mode(policy string, configured wasmadmission.PolicyMode) wasmadmission.PolicyMode
}

// Dispatcher evaluates admission requests. It is safe for concurrent use.
type Dispatcher struct {
	matcher    *matcher
	exemptions *exemptions
	excluded   sets.Set[schema.GroupResource]
	recorder   Recorder
	timeout    time.Duration
	overrides  Overrides
	// dropUnknown drops fields that an object's kind does not have.
	dropUnknown bool

	using   sync.Mutex // held while current is replaced
	current atomic.Pointer[generation]
}

// New returns a dispatcher without policies. It admits every request until the first call of Use.
func New(config Config) (*Dispatcher, error) {
	switch {
	case config.Client == nil:
		return nil, errors.New("dispatch: missing client")
	case config.Informers == nil:
		return nil, errors.New("dispatch: missing informers")
	case config.Authorizer == nil:
		return nil, errors.New("dispatch: missing authorizer")
	}
	matcher, err := newMatcher(config)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{
		matcher:    matcher,
		exemptions: newExemptions(config.Exemptions),
		excluded:   sets.New(config.Excluded...),
		recorder:   config.Recorder,
		timeout:    config.RequestTimeout,
		overrides:  config.Overrides,

		dropUnknown: config.UnknownFields == wasmadmission.UnknownFieldsWarn,
	}
	if d.recorder == nil {
		d.recorder = discard{}
	}
	return d, nil
}

// Admit is the mutating phase. The mutating policies that match a request evaluate it one after
// another, in the order of their names. Each gets the object as the previous one left it, and the
// request ends up with the object as the last one left it. Admit returns nil if the request may go
// on. Otherwise it returns an error with an API status that names the policy that rejected the
// request.
func (d *Dispatcher) Admit(ctx context.Context, attr admission.Attributes,
	o admission.ObjectInterfaces) error {
	g, candidates, err := d.begin(ctx, attr, o, admit)
	if candidates == nil {
		return err
	}
	defer g.set.Release()
	if d.exempt(ctx, attr, admit) {
		return nil
	}
	r := newMutatingRequest(attr, o)
	r.mutable.dropUnknown = d.dropUnknown
	within, span := startPhase(ctx, attr, spans.Admit)
	err = d.mutate(within, r, g.mutating.hooks, candidates)
	r.done()
	endPhase(span, err)
	return err
}

// Validate is the validating phase. All other policies that match a request evaluate it
// concurrently. Validate returns nil if the request may pass. Otherwise it returns an error with an
// API status that names every policy that rejected the request.
func (d *Dispatcher) Validate(ctx context.Context, attr admission.Attributes,
	o admission.ObjectInterfaces) error {
	g, candidates, err := d.begin(ctx, attr, o, validate)
	if candidates == nil {
		return err
	}
	defer g.set.Release()
	if d.exempt(ctx, attr, validate) {
		return nil
	}
	within, span := startPhase(ctx, attr, spans.Validate)
	r := newRequest(attr, o)
	err = d.validate(within, r, g.validating.hooks, candidates)
	r.done()
	endPhase(span, err)
	return err
}

// begin returns the policies that may match a request in a phase. If there are some, it acquires
// their set, which the caller must release. An error rejects the request.
func (d *Dispatcher) begin(ctx context.Context, attr admission.Attributes,
	o admission.ObjectInterfaces, phase phase) (*generation, bitset, error) {
	for {
		g := d.current.Load()
		if g == nil || d.excluded.Has(attr.GetResource().GroupResource()) {
			return nil, nil, nil
		}
		if g = g.of(ctx); g == nil {
			if d.exempt(ctx, attr, phase) {
				return nil, nil, nil
			}
			return nil, nil, errGivenUp()
		}
		candidates := g.index(phase).lookup(attr, o)
		if candidates == nil {
			return nil, nil, nil
		}
		if g.set.Acquire() {
			return g, candidates, nil
		}
		// Its set was freed after g was loaded, so there is a later generation.
	}
}

// exempt reports whether no policy may see a request. It also records the reason.
func (d *Dispatcher) exempt(ctx context.Context, attr admission.Attributes, phase phase) bool {
	reason, exempt := d.exemptions.exempt(ctx, attr)
	if !exempt {
		return false
	}
	if !attr.GetReinvocationContext().IsReinvoke() {
		d.recorder.CountExemption(string(phase), reason)
	}
	annotate(ctx, attr, exemptAnnotation, reason)
	return true
}
