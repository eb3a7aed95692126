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
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
	reviews    map[reviewKey]*review
	// mutable is nil if the object cannot be changed in this phase.
	mutable *mutableVersion
}

// reviewKey is what reviews of one request differ in.
type reviewKey struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// review is an admission review's request as policies get it.
type review struct {
	json []byte
	// object is the part of it that a policy may change, nil if the request has none.
	object []byte
}

// newRequest returns a request in its validating phase.
func newRequest(attr admission.Attributes, interfaces admission.ObjectInterfaces) *request {
	return &request{
		VersionedAttributeAccessor: &fixedVersions{attr: attr, interfaces: interfaces, made: map[schema.GroupVersionKind]*admission.VersionedAttributes{}},
		attr:                       attr,
		interfaces:                 interfaces,
		phase:                      validate,
		uid:                        uuid.NewUUID(),
		reviews:                    map[reviewKey]*review{},
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
	if encoded := r.reviews[key]; encoded != nil {
		return encoded, nil
	}
	if remote, is := r.attr.(RemoteAttributes); is {
		return remoteReview(remote, call)
	}
	versioned, err := r.VersionedAttribute(call.Kind)
	if err != nil {
		return nil, fmt.Errorf("converting the object to %s: %w", call.Kind, err)
	}
	full := webhookrequest.CreateV1AdmissionReview(r.uid, versioned, call).Request
	encoded, err := encode(full)
	if err != nil {
		return nil, fmt.Errorf("encoding the admission review: %w", err)
	}
	r.reviews[key] = encoded
	return encoded, nil
}

// encode writes what a webhook would get, with one difference that Kubewarden
// makes before it passes a request on to a policy: what is absent is left out
// rather than null. It goes in three parts, so that it knows where the object is.
func encode(full *admissionv1.AdmissionRequest) (*review, error) {
	before, err := json.Marshal(struct {
		UID                types.UID                    `json:"uid"`
		Kind               metav1.GroupVersionKind      `json:"kind"`
		Resource           metav1.GroupVersionResource  `json:"resource"`
		SubResource        string                       `json:"subResource,omitempty"`
		RequestKind        *metav1.GroupVersionKind     `json:"requestKind,omitempty"`
		RequestResource    *metav1.GroupVersionResource `json:"requestResource,omitempty"`
		RequestSubResource string                       `json:"requestSubResource,omitempty"`
		Name               string                       `json:"name,omitempty"`
		Namespace          string                       `json:"namespace,omitempty"`
		Operation          admissionv1.Operation        `json:"operation"`
		UserInfo           authenticationv1.UserInfo    `json:"userInfo"`
	}{
		full.UID, full.Kind, full.Resource, full.SubResource, full.RequestKind, full.RequestResource, full.RequestSubResource,
		full.Name, full.Namespace, full.Operation, full.UserInfo,
	})
	if err != nil {
		return nil, err
	}
	object := full.Object.Raw
	if full.Object.Object != nil {
		if object, err = json.Marshal(full.Object.Object); err != nil {
			return nil, err
		}
	}
	after, err := json.Marshal(struct {
		OldObject any   `json:"oldObject,omitempty"`
		DryRun    *bool `json:"dryRun,omitempty"`
		Options   any   `json:"options,omitempty"`
	}{content(&full.OldObject), full.DryRun, content(&full.Options)})
	if err != nil {
		return nil, err
	}
	return join(before, object, after), nil
}

// content is what an extension has, decoded or as it came; nil if it is empty.
func content(e *runtime.RawExtension) any {
	switch {
	case e.Object != nil:
		return e.Object
	case e.Raw != nil:
		return json.RawMessage(e.Raw)
	}
	return nil
}

// join makes one JSON object of two, with a third as the field object between their fields,
// unless it is nil. The first of them has fields.
func join(before, object, after []byte) *review {
	const field = `,"object":`
	joined := make([]byte, 0, len(before)+len(field)+len(object)+len(after))
	joined = append(joined, before[:len(before)-1]...)
	r := &review{}
	if object != nil {
		joined = append(joined, field...)
		joined = append(joined, object...)
		r.object = joined[len(joined)-len(object) : len(joined) : len(joined)]
	}
	if len(after) > len("{}") {
		joined = append(joined, ',')
	}
	r.json = append(joined, after[1:]...)
	return r
}
