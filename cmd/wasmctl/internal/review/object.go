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

package review

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// Operations are the operations for which a request can be built from an object. CONNECT has no
// object.
var Operations = []string{"CREATE", "UPDATE", "DELETE"}

// Object says which request to build from an object. The zero value creates the object.
type Object struct {
	// UID identifies the request. The default is a random UID.
	UID types.UID
	// Operation is one of [Operations]. The default is CREATE. For UPDATE, the old object is the
	// same as the new one.
	Operation string
	// User and Groups are the user of the request. The default is kubernetes-admin in
	// system:authenticated.
	User   string
	Groups []string
}

// forms lists the possible contents of a file with a request.
const forms = "write apiVersion and kind as for kubectl, such as v1 and Pod, or give an AdmissionReview or AdmissionRequest"

// ParseFile parses the request in a user's file: an AdmissionReview, an AdmissionRequest, or an
// object as for kubectl apply, in JSON or YAML. It builds a request from an object, and the result
// then has Made set. Errors are one line.
func ParseFile(data []byte, object Object) (*Request, error) {
	data, err := ToJSON(data)
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(data)
	if err != nil {
		return nil, err
	}
	if looksLikeRequest(fields) {
		return ParseRequest(data)
	}
	head, err := headOf(data, fields)
	if err != nil {
		return nil, err
	}
	now, old := data, data
	switch object.Operation {
	case "", "CREATE":
		old = nil
	case "DELETE":
		now = nil
	}
	made, err := object.request(head, now, old, guessed)
	if err != nil {
		return nil, err
	}
	if data, err = json.Marshal(made); err != nil {
		return nil, err
	}
	request, err := ParseRequest(data)
	if err == nil {
		request.Made = true
	}
	return request, err
}

// ToJSON converts a request in JSON or YAML to JSON.
func ToJSON(data []byte) ([]byte, error) {
	if json.Valid(data) { // YAML lacks some of JSON's escapes
		return data, nil
	}
	object, err := strictyaml.ToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("the request is not a JSON object, nor one document of YAML: %w",
			explain.YAML(err))
	}
	return object, nil
}

// fieldsOf returns the fields of a JSON object.
func fieldsOf(data []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	err := kjson.UnmarshalCaseSensitivePreserveInts(data, &fields)
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		return nil, fmt.Errorf("the request is not a JSON object, nor one of YAML, but %s: %s",
			articled(mismatch.Value), forms)
	case err != nil:
		return nil, fmt.Errorf("the request is not a JSON object: %w", err)
	case fields == nil:
		return nil, fmt.Errorf("the request is not a JSON object: it is empty: %s", forms)
	}
	return fields, nil
}

// articled returns the name of a JSON type with its article.
func articled(jsonType string) string {
	switch jsonType {
	case "array":
		return "a list"
	case "bool":
		return "true or false"
	}
	return "a " + jsonType
}

// looksLikeRequest reports whether the fields are probably those of a review or a request. A
// request has fields that no object has, and its kind is an object.
func looksLikeRequest(fields map[string]json.RawMessage) bool {
	if kind := fields["kind"]; kind != nil {
		return kind[0] != '"' || string(kind) == `"AdmissionReview"`
	}
	return fields["apiVersion"] == nil &&
		slices.ContainsFunc([]string{"uid", "request", "resource", "operation", "userInfo"},
			func(name string) bool { return fields[name] != nil })
}

// objectHead holds the fields of an object that a request needs.
type objectHead struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items json.RawMessage `json:"items"`
}

// Resource describes how a kind is served.
type Resource struct {
	// Plural is the resource's name.
	Plural string
	// Namespaced reports whether the kind is namespaced. An object without a namespace is then
	// assumed to be in the namespace default.
	Namespaced bool
}

// guessed returns the usual resource of a kind, if it is unknown whether the kind is namespaced.
func guessed(kind schema.GroupVersionKind) Resource {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return Resource{Plural: resource.Resource}
}

// Request builds an AdmissionRequest from an object and its old version, in JSON or YAML. CREATE
// needs only the object, UPDATE both, and DELETE only the old version; nil stands for none. The
// function resource returns how the kind is served.
func (o Object) Request(object, old []byte,
	resource func(schema.GroupVersionKind) Resource) (*admissionv1.AdmissionRequest, error) {
	var heads []*objectHead
	for _, data := range []*[]byte{&object, &old} {
		if *data == nil {
			continue
		}
		var err error
		if *data, err = ToJSON(*data); err != nil {
			return nil, err
		}
		fields, err := fieldsOf(*data)
		if err != nil {
			return nil, err
		}
		head, err := headOf(*data, fields)
		if err != nil {
			return nil, err
		}
		heads = append(heads, head)
	}
	if len(heads) == 0 {
		return nil, errors.New("there is no object to build a request from")
	}
	if len(heads) == 2 && *heads[0].identity() != *heads[1].identity() {
		return nil, fmt.Errorf(
			"the object is %s, and the old one %s: an update changes neither apiVersion, kind, name nor namespace",
			heads[0].identity(), heads[1].identity())
	}
	return o.request(heads[0], object, old, resource)
}

// headOf reads the head of an object.
func headOf(object []byte, fields map[string]json.RawMessage) (*objectHead, error) {
	head := &objectHead{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(object, head); err != nil {
		return nil, fmt.Errorf("the object cannot be read: %w", explain.Value(err))
	}
	if err := head.check(fields); err != nil {
		return nil, err
	}
	return head, nil
}

func (o Object) request(head *objectHead, object, old []byte,
	resource func(schema.GroupVersionKind) Resource) (*admissionv1.AdmissionRequest, error) {
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return nil, fmt.Errorf(
			"apiVersion: %q is invalid: write a version, such as v1, or group and version, such as apps/v1",
			head.APIVersion)
	}
	kind := version.WithKind(head.Kind)
	served := resource(kind)
	requestKind, requestResource := metav1.GroupVersionKind(kind),
		metav1.GroupVersionResource(version.WithResource(served.Plural))
	request := &admissionv1.AdmissionRequest{
		UID:  cmp.Or(o.UID, uuid.NewUUID()),
		Kind: requestKind, RequestKind: &requestKind,
		Resource: requestResource, RequestResource: &requestResource,
		Name: head.Metadata.Name, Namespace: head.Metadata.Namespace,
		Operation: admissionv1.Operation(cmp.Or(o.Operation, "CREATE")),
		UserInfo: authenticationv1.UserInfo{
			Username: cmp.Or(o.User, "kubernetes-admin"),
			Groups:   o.Groups,
		},
		Object: runtime.RawExtension{Raw: object}, OldObject: runtime.RawExtension{Raw: old},
	}
	if served.Namespaced {
		request.Namespace = cmp.Or(request.Namespace, metav1.NamespaceDefault)
	}
	if kind == namespaceKind { // a server assumes that a namespace is in itself
		request.Namespace = head.Metadata.Name
	}
	if o.Groups == nil {
		request.UserInfo.Groups = []string{"system:authenticated"}
	}
	return request, nil
}

// namespaceKind is the kind Namespace.
var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// identity holds the fields that an update must not change.
type identity struct{ apiVersion, kind, namespace, name string }

func (h *objectHead) identity() *identity {
	return &identity{h.APIVersion, h.Kind, h.Metadata.Namespace, h.Metadata.Name}
}

// String names the object for messages.
func (i *identity) String() string {
	return fmt.Sprintf("%s %s %q", i.apiVersion, i.kind,
		strings.TrimPrefix(i.namespace+"/"+i.name, "/"))
}

// check returns an error if no request can be built from the object.
func (h *objectHead) check(fields map[string]json.RawMessage) error {
	var missing []string
	for _, field := range []struct {
		name, value string
	}{{"apiVersion", h.APIVersion}, {"kind", h.Kind}} {
		if field.value != "" {
			continue
		}
		for name := range fields {
			if name != field.name && strings.EqualFold(name, field.name) {
				return fmt.Errorf(
					"the request is neither an AdmissionRequest nor an object: it has %q instead of %s: correct the name",
					name, field.name)
			}
		}
		missing = append(missing, field.name)
	}
	var items []json.RawMessage
	switch {
	case len(missing) > 0:
		return fmt.Errorf(
			"the request is neither an AdmissionRequest nor an object: it has no %s: %s",
			strings.Join(missing, " and no "), forms)
	case strings.IndexFunc(h.Kind, unicode.IsLower) == 0:
		return fmt.Errorf(
			"kind: %q begins with a lower-case letter: write it as kubectl api-resources does, such as Pod",
			h.Kind)
	// No request creates a list. kubectl sends its items one after the other.
	case strings.HasSuffix(h.Kind, "List") && h.Items != nil &&
		json.Unmarshal(h.Items, &items) == nil:
		return fmt.Errorf("a %s of %d objects: a request has one object, so give one of them",
			h.Kind, len(items))
	}
	return nil
}
