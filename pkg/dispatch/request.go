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
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
)

// request is one admission request on its way through one phase. What is computed for
// one policy is kept for the others. It belongs to one goroutine until its reviews are
// encoded.
type request struct {
	// The versions of the object; those of a mutation change.
	generic.VersionedAttributeAccessor
	attr       admission.Attributes
	interfaces admission.ObjectInterfaces
	phase      phase
	uid        types.UID
	// reviews are those of the object as it is, and written all of this request's.
	reviews []*review
	written []*review
	// mutable is nil if the object cannot be changed in this phase.
	mutable *mutableVersion
}

// reviewKey is what reviews of one request differ in.
type reviewKey struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// requestUID returns what identifies a request to policies and in the log. The UID of a review that
// another server has sent is known there too; elsewhere each phase has its own.
func requestUID(attr admission.Attributes) types.UID {
	if remote, is := attr.(RemoteAttributes); is {
		return remote.UID()
	}
	return uuid.NewUUID()
}

// newRequest returns a request in its validating phase.
func newRequest(attr admission.Attributes, interfaces admission.ObjectInterfaces) *request {
	return &request{
		VersionedAttributeAccessor: &fixedVersions{attr: attr, interfaces: interfaces},
		attr:                       attr,
		interfaces:                 interfaces,
		phase:                      validate,
		uid:                        requestUID(attr),
	}
}

// newMutatingRequest returns a request in its mutating phase.
func newMutatingRequest(attr admission.Attributes, interfaces admission.ObjectInterfaces) *request {
	r := newRequest(attr, interfaces)
	r.phase = admit
	r.mutable = &mutableVersion{attr: attr, interfaces: interfaces}
	r.VersionedAttributeAccessor = r.mutable
	return r
}

// attributes are those that a request has now: with the object as it was changed.
func (r *request) attributes() admission.Attributes {
	if r.mutable != nil && r.mutable.versioned != nil {
		return r.mutable.versioned
	}
	return r.attr
}

// round is which time the mutating phase runs, as the webhooks' annotations count.
func (r *request) round() int {
	if r.attr.GetReinvocationContext().IsReinvoke() {
		return 1
	}
	return 0
}

// annotationName is the part of an audit annotation's key that tells phases and rounds
// apart.
func (r *request) annotationName() string {
	if r.phase == admit {
		return fmt.Sprintf("mutate.round_%d", r.round())
	}
	return "validate"
}

// review returns the review for a policy, encoded once for all policies that
// want the same version of the same resource of the same object.
func (r *request) review(call *generic.WebhookInvocation) (*review, error) {
	key := reviewKey{kind: call.Kind, resource: call.Resource}
	for _, encoded := range r.reviews {
		if encoded.key == key {
			return encoded, nil
		}
	}
	if remote, is := r.attr.(RemoteAttributes); is {
		return r.remoteReview(remote, call)
	}
	versioned, err := r.VersionedAttribute(call.Kind)
	if err != nil {
		return nil, fmt.Errorf("converting the object to %s: %w", call.Kind, err)
	}
	encoded, err := r.write(webhookrequest.CreateV1AdmissionReview(r.uid, versioned, call).Request)
	if err != nil {
		return nil, err
	}
	encoded.key = key
	r.reviews = append(r.reviews, encoded)
	return encoded, nil
}
