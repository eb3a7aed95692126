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
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wasm-admission/wasm-admission/internal/apijson"
)

// review is an admission review's request as policies get it. It is valid until the request
// is done: what it is written into is used again.
type review struct {
	key  reviewKey
	json []byte
	// object is the part of json that a policy may change, nil if the request has none.
	object []byte
	// before are the fields before the object, and after those behind it.
	before fieldsBefore
	after  fieldsAfter
}

// fieldsBefore are the fields of an [admissionv1.AdmissionRequest] that come before the
// object. What is absent is left out rather than null.
type fieldsBefore struct {
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
}

// fieldsAfter are those that come behind it.
type fieldsAfter struct {
	OldObject any   `json:"oldObject,omitempty"`
	DryRun    *bool `json:"dryRun,omitempty"`
	Options   any   `json:"options,omitempty"`
}

// spare are reviews of requests that are done, for others to be written into. One is 9 KB for
// a Pod, which would else be most of what a request leaves to the garbage collector.
var spare = sync.Pool{New: func() any { return new(review) }}

// maxSpareBytes is how large one may be that is kept. Objects in etcd have at most 1.5 MiB, and
// nearly all less than a tenth of that.
const maxSpareBytes = 128 << 10

// write encodes what a webhook would get, with one difference that Kubewarden makes before
// it passes a request on to a policy: what is absent is left out rather than null.
func (r *request) write(full *admissionv1.AdmissionRequest) (*review, error) {
	encoded := spare.Get().(*review) //nolint:forcetypeassert // nothing else is in it
	if err := encoded.encode(full); err != nil {
		encoded.letGo()
		return nil, fmt.Errorf("encoding the admission review: %w", err)
	}
	r.written = append(r.written, encoded)
	return encoded, nil
}

// done lets go of the request's reviews. No evaluation may be running, and what it said is
// not looked at any more. A request that panics is never done, as one of its evaluations
// might be running yet.
func (r *request) done() {
	for _, encoded := range r.written {
		encoded.letGo()
	}
	r.reviews, r.written = nil, nil
}

// letGo keeps a review for another request.
func (v *review) letGo() {
	kept := v.json[:0]
	if cap(kept) > maxSpareBytes {
		kept = nil
	}
	*v = review{json: kept}
	spare.Put(v)
}

// encode writes the review in three parts, so that it knows where the object is.
func (v *review) encode(full *admissionv1.AdmissionRequest) (err error) {
	v.before = fieldsBefore{
		full.UID, full.Kind, full.Resource, full.SubResource, full.RequestKind,
		full.RequestResource, full.RequestSubResource,
		full.Name, full.Namespace, full.Operation, full.UserInfo,
	}
	v.after = fieldsAfter{content(&full.OldObject), full.DryRun, content(&full.Options)}
	if v.json, err = apijson.Append(v.json[:0], &v.before); err != nil {
		return err
	}
	// The first part has fields, so that a comma may follow in place of its end.
	v.json = v.json[:len(v.json)-1]
	start, present := 0, full.Object.Object != nil || full.Object.Raw != nil
	if present {
		v.json = append(v.json, `,"object":`...)
		start = len(v.json)
		if full.Object.Object == nil {
			v.json = append(v.json, full.Object.Raw...)
		} else if v.json, err = apijson.Append(v.json, full.Object.Object); err != nil {
			return err
		}
	}
	end := len(v.json)
	if v.json, err = apijson.Append(v.json, &v.after); err != nil {
		return err
	}
	if len(v.json) > end+len("{}") {
		v.json[end] = ','
	} else {
		v.json = append(v.json[:end], '}')
	}
	if present {
		v.object = v.json[start:end:end]
	}
	return nil
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
