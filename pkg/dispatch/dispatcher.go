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
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Config is what a dispatcher works with. All fields but Excluded, Exemptions
// and Recorder are required.
type Config struct {
	// Client is the apiserver's client of itself: for namespaces that the
	// informer has not seen yet, and to learn who the apiserver is.
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
	Recorder metrics.Recorder
}

// Dispatcher evaluates admission requests. It is safe for concurrent use.
type Dispatcher struct {
	matcher    *matcher
	exemptions *exemptions
	excluded   sets.Set[schema.GroupResource]
	recorder   metrics.Recorder
	index      atomic.Pointer[index]
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
		exemptions: newExemptions(config.Exemptions, config.Client),
		excluded:   sets.New(config.Excluded...),
		recorder:   config.Recorder,
	}
	if d.recorder == nil {
		d.recorder = metrics.Discard{}
	}
	d.index.Store(newIndex(nil))
	return d, nil
}

// Use makes the dispatcher use a set from now on. Requests that have begun
// finish on the set before.
func (d *Dispatcher) Use(set *policyset.Set) {
	var hooks []*hook
	for _, policy := range set.Policies() {
		hooks = append(hooks, newHook(policy))
	}
	d.index.Store(newIndex(hooks))
}

// Validate evaluates a request against the policies that match it, all of them,
// side by side. It returns nil if the request may pass, and otherwise an error
// with an API status that names every policy that refused it.
func (d *Dispatcher) Validate(ctx context.Context, attr admission.Attributes, o admission.ObjectInterfaces) error {
	index := d.index.Load()
	candidates := index.lookup(attr, o)
	if candidates == nil || d.excluded.Has(attr.GetResource().GroupResource()) {
		return nil
	}
	if reason, exempt := d.exemptions.exempt(ctx, attr); exempt {
		d.recorder.CountExemption(reason)
		annotate(ctx, attr, exemptAnnotation, string(reason))
		return nil
	}
	r := newRequest(attr, o)
	invocations, err := d.matcher.match(ctx, r, index.hooks, candidates)
	if err != nil {
		return err
	}
	return d.conclude(ctx, r, evaluate(ctx, invocations))
}
