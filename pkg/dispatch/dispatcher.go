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

// Package dispatch takes an admission request to the policies that want it and
// makes one answer of their verdicts.
//
// Matching is done by the machinery that admission webhooks use, so that rules,
// selectors, match policies and match conditions mean what they mean there. What
// goes before it, an index by resource and operation, only saves time: it may
// let through too many policies, never too few.
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

// Config is what a dispatcher works with. Client, Informers and Authorizer are
// required.
type Config struct {
	// Client is the apiserver's client of itself, for namespaces that the
	// informer has not seen yet.
	Client kubernetes.Interface
	// Informers give the namespaces' labels. They need not have started.
	Informers informers.SharedInformerFactory
	// Authorizer is for match conditions.
	Authorizer authorizer.UnconditionalAuthorizer
	// Excluded are resources that are never evaluated, whatever the policies'
	// rules say.
	Excluded []schema.GroupResource
	// Exemptions are requests that are never evaluated.
	Exemptions wasmadmission.Exemptions
	// Recorder takes notes; nil discards them.
	Recorder Recorder
	// RequestTimeout is the wall-clock time that all policies together may take for
	// one request in one phase of admission. Policies that are not done by then have
	// failed. Zero means that there is no such limit.
	RequestTimeout time.Duration
	// UnknownFields says what becomes of fields in mutated objects that the objects' kinds
	// do not have. Empty means that the policy has failed.
	UnknownFields wasmadmission.UnknownFields
	// Overrides change policies' modes; nil changes none.
	Overrides Overrides
}

// Overrides change policies' modes while requests are served. Implementations are
// safe for concurrent use and fast.
type Overrides interface {
	// Mode returns the mode that a policy is in, which may be the configured one.
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
	// dropUnknown is whether fields are dropped that an object's kind does not have.
	dropUnknown bool

	using   sync.Mutex // held while current is replaced
	current atomic.Pointer[generation]
}

// New returns a dispatcher that has no policies yet and admits everything.
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

// Admit is the mutating phase: it has a request evaluated by the mutating policies
// that match it, one after another in the order of their names, and leaves in it the
// object as they want it. Each of them sees the object as the one before left it. It
// returns nil if the request may go on, and otherwise an error with an API status that
// names the policy that refused it.
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

// Validate is the validating phase: it has a request evaluated by the other policies
// that match it, all of them, side by side. It returns nil if the request may pass,
// and otherwise an error with an API status that names every policy that refused it.
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

// begin finds the policies that a request may concern in a phase. If there are some
// it takes hold of their set, which the caller releases. An error refuses the request.
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
		// It was given up between the two looks at it: there is a later one.
	}
}

// exempt is whether no policy is to see a request. If so it says why.
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
