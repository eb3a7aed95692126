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

package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
)

// attributes are the attributes of the request in an admission review. Objects are decoded on first
// use, because most evaluations do not need them. Only one goroutine may use them.
type attributes struct {
	admission.Attributes
	policy  string
	request *admissionv1.AdmissionRequest
	// kind and resource are those to which the apiserver has converted the object.
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource

	object, oldObject, options lazyObject

	annotations map[string]string
	patch       []byte
	// err is the error of decoding, if any.
	err error
}

var _ dispatch.RemoteAttributes = &attributes{}

func newAttributes(policy string, r *admissionv1.AdmissionRequest) *attributes {
	a := &attributes{
		policy: policy, request: r,
		kind:     schema.GroupVersionKind(r.Kind),
		resource: schema.GroupVersionResource(r.Resource),
		object:   lazyObject{raw: r.Object.Raw}, oldObject: lazyObject{raw: r.OldObject.Raw},
		options: lazyObject{raw: r.Options.Raw},
	}
	// The client may have asked for another version.
	kind, resource, subresource := a.kind, a.resource, r.SubResource
	if r.RequestKind != nil {
		kind = schema.GroupVersionKind(*r.RequestKind)
	}
	if r.RequestResource != nil {
		resource, subresource = schema.GroupVersionResource(*r.RequestResource),
			r.RequestSubResource
	}
	dryRun := r.DryRun != nil && *r.DryRun
	a.Attributes = admission.NewAttributesRecord(nil, nil, kind, r.Namespace, r.Name, resource,
		subresource, admission.Operation(r.Operation), nil, dryRun, userOf(r))
	return a
}

func userOf(r *admissionv1.AdmissionRequest) user.Info {
	info := &user.DefaultInfo{
		Name:   r.UserInfo.Username,
		UID:    r.UserInfo.UID,
		Groups: r.UserInfo.Groups,
	}
	if len(r.UserInfo.Extra) > 0 {
		info.Extra = make(map[string][]string, len(r.UserInfo.Extra))
		for key, values := range r.UserInfo.Extra {
			info.Extra[key] = values
		}
	}
	return info
}

// lazyObject is an object in JSON that is decoded on first use.
type lazyObject struct {
	raw     []byte
	decoded *unstructured.Unstructured
}

// get returns the object, or nil if there is none. It adds an error to failed.
func (l *lazyObject) get(failed *error) runtime.Object {
	if len(l.raw) == 0 {
		return nil
	}
	if l.decoded == nil {
		l.decoded = &unstructured.Unstructured{}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(l.raw, &l.decoded.Object); err != nil {
			*failed = errors.Join(*failed, fmt.Errorf("decoding the admission review: %w", err))
		}
	}
	return l.decoded
}

// GetObject implements [admission.Attributes].
func (a *attributes) GetObject() runtime.Object { return a.object.get(&a.err) }

// GetOldObject implements [admission.Attributes].
func (a *attributes) GetOldObject() runtime.Object { return a.oldObject.get(&a.err) }

// GetOperationOptions implements [admission.Attributes].
func (a *attributes) GetOperationOptions() runtime.Object { return a.options.get(&a.err) }

// UID implements [dispatch.RemoteAttributes].
func (a *attributes) UID() types.UID { return a.request.UID }

// Review implements [dispatch.RemoteAttributes].
func (a *attributes) Review(kind schema.GroupVersionKind,
	resource schema.GroupVersionResource) (*admissionv1.AdmissionRequest, bool) {
	return a.request, kind == a.kind && resource == a.resource
}

// Change implements [dispatch.RemoteAttributes].
func (a *attributes) Change(wanted json.RawMessage) (changed bool, err error) {
	a.patch, err = patch(a.request, wanted)
	return len(a.patch) > 0, err
}

// The names of our own annotations. The apiserver adds the webhook's name, which is the policy's,
// as a prefix. So the annotations of guests get the same keys as in process.
const (
	ownDomain = "wasm.admission.k8s.io"
	ownPrefix = "wasm-admission."
)

// AddAnnotation implements [admission.Attributes]. The key is one of package dispatch.
func (a *attributes) AddAnnotation(key, value string) error {
	name, err := a.annotationName(key)
	if err != nil {
		return err
	}
	if before, found := a.annotations[name]; found && before != value {
		return fmt.Errorf("annotation %q is there with another value", name)
	}
	if a.annotations == nil {
		a.annotations = map[string]string{}
	}
	a.annotations[name] = value
	return nil
}

// annotationName returns the name of an annotation in a response, where names have no domain.
func (a *attributes) annotationName(key string) (string, error) {
	if problems := validation.IsQualifiedName(key); len(problems) > 0 {
		return "", fmt.Errorf(
			"annotation key is not a qualified name: %s", strings.Join(problems, ", "))
	}
	domain, name, qualified := strings.Cut(key, "/")
	switch {
	case !qualified:
		return "", errors.New("annotation key has no domain")
	case domain == dispatch.AnnotationDomain(a.policy):
		if strings.HasPrefix(name, ownPrefix) {
			return "", fmt.Errorf("annotation key begins with %s, which is reserved", ownPrefix)
		}
		return name, nil
	case domain == ownDomain:
		return ownPrefix + name, nil
	default:
		return ownPrefix + strings.TrimSuffix(domain, "."+ownDomain) + "." + name, nil
	}
}

// AddAnnotationWithLevel implements [admission.Attributes]. A response cannot carry a level, and
// the apiserver audits its annotations at level Metadata. So annotations of other levels are
// dropped.
func (a *attributes) AddAnnotationWithLevel(key, value string, level auditinternal.Level) error {
	if level != auditinternal.LevelMetadata {
		return nil
	}
	return a.AddAnnotation(key, value)
}
