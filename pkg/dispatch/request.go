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

// request is an admission request in one phase. It keeps what it computes for one policy for the
// others. Only one goroutine may use it until its reviews are encoded.
type request struct {
	// The accessor returns versions of the object. In the mutating phase they change.
	generic.VersionedAttributeAccessor
	attr       admission.Attributes
	interfaces admission.ObjectInterfaces
	phase      phase
	uid        types.UID
	// reviews are the reviews of the current object. written are all reviews of this request.
	reviews []*review
	written []*review
	// mutable is nil if this phase cannot change the object.
	mutable *mutableVersion
}

// reviewKey identifies a review among those of one request.
type reviewKey struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// requestUID returns the UID that identifies a request to policies and in the log. For a review
// that another server sent, it is the UID that the server knows. Otherwise each phase has its own.
func requestUID(attr admission.Attributes) types.UID {
	if remote, is := attr.(RemoteAttributes); is {
		return remote.UID()
	}
	return uuid.NewUUID()
}

// newRequest returns a request in the validating phase.
func newRequest(attr admission.Attributes, interfaces admission.ObjectInterfaces) *request {
	return &request{
		VersionedAttributeAccessor: &fixedVersions{attr: attr, interfaces: interfaces},
		attr:                       attr,
		interfaces:                 interfaces,
		phase:                      validate,
		uid:                        requestUID(attr),
	}
}

// newMutatingRequest returns a request in the mutating phase.
func newMutatingRequest(attr admission.Attributes, interfaces admission.ObjectInterfaces) *request {
	r := newRequest(attr, interfaces)
	r.phase = admit
	r.mutable = &mutableVersion{attr: attr, interfaces: interfaces}
	r.VersionedAttributeAccessor = r.mutable
	return r
}

// attributes returns the current attributes, with the object as changed so far.
func (r *request) attributes() admission.Attributes {
	if r.mutable != nil && r.mutable.versioned != nil {
		return r.mutable.versioned
	}
	return r.attr
}

// round returns the number of the run of the mutating phase, as in the webhooks' annotations.
func (r *request) round() int {
	if r.attr.GetReinvocationContext().IsReinvoke() {
		return 1
	}
	return 0
}

// annotationName returns the part of an audit annotation's key that distinguishes phases and
// rounds.
func (r *request) annotationName() string {
	if r.phase == admit {
		return fmt.Sprintf("mutate.round_%d", r.round())
	}
	return "validate"
}

// review returns the review for a policy. It encodes one review for all policies that want the same
// version of the same resource of the same object.
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
