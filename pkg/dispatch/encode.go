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

// review is the request of an admission review as policies get it. It is valid until request.done,
// which lets other requests reuse its memory.
type review struct {
	key  reviewKey
	json []byte
	// object is the part of json that a policy may change, or nil if the request has no object.
	object []byte
	// before are the fields before the object, and after the fields after it.
	before fieldsBefore
	after  fieldsAfter
}

// fieldsBefore are the fields of an [admissionv1.AdmissionRequest] before the object. Absent fields
// are omitted, not null.
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

// fieldsAfter are the fields after the object.
type fieldsAfter struct {
	OldObject any   `json:"oldObject,omitempty"`
	DryRun    *bool `json:"dryRun,omitempty"`
	Options   any   `json:"options,omitempty"`
}

// spare holds the reviews of finished requests for reuse. The review of a Pod has 9 KB. Without
// reuse, reviews would be most of the garbage that a request leaves.
var spare = sync.Pool{New: func() any { return new(review) }}

// maxSpareBytes is the size of the largest review to keep. Objects in etcd have at most 1.5 MiB,
// and nearly all have less than a tenth of that.
const maxSpareBytes = 128 << 10

// write encodes the review that a webhook would get. As Kubewarden does before it passes a request
// on to a policy, it omits absent fields instead of writing null.
func (r *request) write(full *admissionv1.AdmissionRequest) (*review, error) {
	encoded := spare.Get().(*review) //nolint:forcetypeassert // nothing else is in it
	if err := encoded.encode(full); err != nil {
		encoded.recycle()
		return nil, fmt.Errorf("encoding the admission review: %w", err)
	}
	r.written = append(r.written, encoded)
	return encoded, nil
}

// done releases the memory of the request's reviews. No evaluation may be running, and nobody may
// use their answers any more. After a panic, done is not called, because an evaluation may still be
// running.
func (r *request) done() {
	for _, encoded := range r.written {
		encoded.recycle()
	}
	r.reviews, r.written = nil, nil
}

// recycle makes the review available to another request.
func (v *review) recycle() {
	kept := v.json[:0]
	if cap(kept) > maxSpareBytes {
		kept = nil
	}
	*v = review{json: kept}
	spare.Put(v)
}

// encode writes the review in three parts, so that it knows the position of the object.
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
	// The first part is never empty, so a comma can replace its closing brace.
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

// content returns the content of an extension, decoded or raw. It returns nil if it is empty.
func content(e *runtime.RawExtension) any {
	switch {
	case e.Object != nil:
		return e.Object
	case e.Raw != nil:
		return json.RawMessage(e.Raw)
	}
	return nil
}
