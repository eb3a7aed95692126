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
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
)

// RemoteAttributes are the attributes of a request that another server admits and sent in an
// admission review. Kind and resource are those of the request, and the object has the version that
// the review has. The object does not change. Instead, the other server learns how a policy wants
// to change it, and applies the change.
type RemoteAttributes interface {
	admission.Attributes
	// UID returns the UID of the review's request.
	UID() types.UID
	// Review returns the review's request. It returns false if the review does not have the object
	// in this version of the resource.
	Review(kind schema.GroupVersionKind,
		resource schema.GroupVersionResource) (request *admissionv1.AdmissionRequest, ok bool)
	// Change records the object that a policy wants, and reports whether it differs. The error says
	// why the object is invalid.
	Change(wanted json.RawMessage) (changed bool, err error)
}

// ErrNoSuchPolicy means that a phase has no policy with this name.
var ErrNoSuchPolicy = errors.New("no such policy")

// ReviewValidating evaluates a request with one validating policy if the request matches it, like
// [Dispatcher.Validate] does with all of them. It returns [ErrNoSuchPolicy] if there is no
// validating policy with this name.
func (d *Dispatcher) ReviewValidating(ctx context.Context, policy string, attr RemoteAttributes,
	o admission.ObjectInterfaces) error {
	return d.reviewBy(ctx, policy, newRequest(attr, o))
}

// ReviewMutating evaluates a request with one mutating policy if the request matches it, like
// [Dispatcher.Admit] does with all of them. It returns [ErrNoSuchPolicy] if there is no mutating
// policy with this name.
func (d *Dispatcher) ReviewMutating(ctx context.Context, policy string, attr RemoteAttributes,
	o admission.ObjectInterfaces) error {
	return d.reviewBy(ctx, policy, newMutatingRequest(attr, o))
}

// reviewBy takes the policy from the current set, or else from the latest earlier set that has it
// and is still held. The server that sends reviews learns later that a policy is gone, and its
// requests must not fail because of that.
func (d *Dispatcher) reviewBy(ctx context.Context, policy string, r *request) error {
	for g := d.current.Load(); g != nil; g = g.before.Load() {
		if h, n := g.index(r.phase).named(policy); h != nil && g.set.Acquire() {
			defer g.set.Release()
			err := d.reviewWith(ctx, h, n, r)
			r.done()
			return err
		}
	}
	return ErrNoSuchPolicy
}

func (d *Dispatcher) reviewWith(ctx context.Context, h *hook, n int, r *request) error {
	if d.excluded.Has(r.attr.GetResource().GroupResource()) || d.exempt(ctx, r.attr, r.phase) {
		return nil
	}
	within, cancel, b := startBudget(ctx, d.timeout)
	defer cancel()
	e := d.prepare(within, r, h, n)
	if e == nil {
		return nil
	}
	e.run(within, b)
	e.judge()
	if r.phase == admit {
		e.apply(r)
	}
	report := d.newReport(r)
	defer report.publish(ctx)
	report.add(ctx, e)
	if e.refusal != nil {
		return reject([]*refusal{e.refusal})
	}
	if e.err != nil {
		return interrupted(ctx)
	}
	return nil
}

// named returns the hook of a policy and its position, or nil if there is none.
func (x *index) named(policy string) (*hook, int) {
	n, found := slices.BinarySearchFunc(x.hooks, policy, func(h *hook, policy string) int {
		return strings.Compare(h.policy.Name(), policy)
	})
	if !found {
		return nil, 0
	}
	return x.hooks[n], n
}

// remoteReview encodes the review for a request that came in a review.
func (r *request) remoteReview(remote RemoteAttributes,
	call *generic.WebhookInvocation) (*review, error) {
	request, ok := remote.Review(call.Kind, call.Resource)
	if !ok {
		return nil, fmt.Errorf(
			"the policy wants the object as %s of %s, but the admission review has it in another version",
			call.Kind, call.Resource)
	}
	return r.write(request)
}
