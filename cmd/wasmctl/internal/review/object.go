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

// Operations are those that a request can be made of an object for. CONNECT has no object
// of its own.
var Operations = []string{"CREATE", "UPDATE", "DELETE"}

// Object says what request is made of an object. The zero value is one that creates it.
type Object struct {
	// UID identifies the request. Default: a random one.
	UID types.UID
	// Operation is one of [Operations]. Default: CREATE. An object is updated from itself.
	Operation string
	// User and Groups are who makes the request. Default: kubernetes-admin, who is in
	// system:authenticated.
	User   string
	Groups []string
}

// forms is what a file with a request may hold.
const forms = "write apiVersion and kind as for kubectl, such as v1 and Pod, or give an AdmissionReview or AdmissionRequest"

// ParseFile reads a request as people have it in files: an AdmissionReview, an
// AdmissionRequest, or an object as kubectl applies it, in JSON or YAML. Of an object a
// request is made, which the result says. Errors are one line.
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

// ToJSON returns a request that is written in JSON or YAML as JSON.
func ToJSON(data []byte) ([]byte, error) {
	if json.Valid(data) { // YAML does not know all of JSON's escapes
		return data, nil
	}
	object, err := strictyaml.ToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("the request is not a JSON object, nor one document of YAML: %w", explain.YAML(err))
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
		return nil, fmt.Errorf("the request is not a JSON object, nor one of YAML, but %s: %s", articled(mismatch.Value), forms)
	case err != nil:
		return nil, fmt.Errorf("the request is not a JSON object: %w", err)
	case fields == nil:
		return nil, fmt.Errorf("the request is not a JSON object: there is nothing in it: %s", forms)
	}
	return fields, nil
}

// articled names a type of JSON in a sentence.
func articled(jsonType string) string {
	switch jsonType {
	case "array":
		return "a list"
	case "bool":
		return "true or false"
	}
	return "a " + jsonType
}

// looksLikeRequest is whether fields are meant as those of a review or of a request, which
// has fields that no object has, and a kind that is an object itself.
func looksLikeRequest(fields map[string]json.RawMessage) bool {
	if kind := fields["kind"]; kind != nil {
		return kind[0] != '"' || string(kind) == `"AdmissionReview"`
	}
	return fields["apiVersion"] == nil && slices.ContainsFunc([]string{"uid", "request", "resource", "operation", "userInfo"},
		func(name string) bool { return fields[name] != nil })
}

// objectHead is what a request says of an object.
type objectHead struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items json.RawMessage `json:"items"`
}

// Resource is how a kind is served.
type Resource struct {
	// Plural is the resource's name.
	Plural string
	// Namespaced is whether objects of the kind are in namespaces. One that does not say in
	// which is taken to be in that called default.
	Namespaced bool
}

// guessed returns the resource that is usual for a kind, of which it is not known whether it
// has namespaces.
func guessed(kind schema.GroupVersionKind) Resource {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return Resource{Plural: resource.Resource}
}

// Request returns the AdmissionRequest that is made of an object, in JSON or YAML, and of what
// it was before, as the operation wants them: the object alone to create it, both to update it,
// and what it was before alone to delete it; nil stands for none. How the kind is served is
// asked of resource.
func (o Object) Request(object, old []byte, resource func(schema.GroupVersionKind) Resource) (*admissionv1.AdmissionRequest, error) {
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
		return nil, errors.New("there is no object to make a request of")
	}
	if len(heads) == 2 && *heads[0].identity() != *heads[1].identity() {
		return nil, fmt.Errorf("the object is %s, and the old one %s: an update changes neither apiVersion, kind, name nor namespace", heads[0].identity(), heads[1].identity())
	}
	return o.request(heads[0], object, old, resource)
}

// headOf reads what a request is made of.
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

func (o Object) request(head *objectHead, object, old []byte, resource func(schema.GroupVersionKind) Resource) (*admissionv1.AdmissionRequest, error) {
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("apiVersion: %q is none: write a version, such as v1, or group and version, such as apps/v1", head.APIVersion)
	}
	kind := version.WithKind(head.Kind)
	served := resource(kind)
	requestKind, requestResource := metav1.GroupVersionKind(kind), metav1.GroupVersionResource(version.WithResource(served.Plural))
	request := &admissionv1.AdmissionRequest{
		UID:  cmp.Or(o.UID, uuid.NewUUID()),
		Kind: requestKind, RequestKind: &requestKind,
		Resource: requestResource, RequestResource: &requestResource,
		Name: head.Metadata.Name, Namespace: head.Metadata.Namespace,
		Operation: admissionv1.Operation(cmp.Or(o.Operation, "CREATE")),
		UserInfo:  authenticationv1.UserInfo{Username: cmp.Or(o.User, "kubernetes-admin"), Groups: o.Groups},
		Object:    runtime.RawExtension{Raw: object}, OldObject: runtime.RawExtension{Raw: old},
	}
	if served.Namespaced {
		request.Namespace = cmp.Or(request.Namespace, metav1.NamespaceDefault)
	}
	if kind == namespaceKind { // which a server takes to be in itself
		request.Namespace = head.Metadata.Name
	}
	if o.Groups == nil {
		request.UserInfo.Groups = []string{"system:authenticated"}
	}
	return request, nil
}

// namespaceKind is that of namespaces.
var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// identity is what an update leaves as it is.
type identity struct{ apiVersion, kind, namespace, name string }

func (h *objectHead) identity() *identity {
	return &identity{h.APIVersion, h.Kind, h.Metadata.Namespace, h.Metadata.Name}
}

// String returns what people call the object.
func (i *identity) String() string {
	return fmt.Sprintf("%s %s %q", i.apiVersion, i.kind, strings.TrimPrefix(i.namespace+"/"+i.name, "/"))
}

// check says whether a request can be made of the object.
func (h *objectHead) check(fields map[string]json.RawMessage) error {
	var missing []string
	for _, field := range []struct{ name, value string }{{"apiVersion", h.APIVersion}, {"kind", h.Kind}} {
		if field.value != "" {
			continue
		}
		for name := range fields {
			if name != field.name && strings.EqualFold(name, field.name) {
				return fmt.Errorf("the request is no AdmissionRequest, and no object: %q is there in place of %s: correct its name", name, field.name)
			}
		}
		missing = append(missing, field.name)
	}
	var items []json.RawMessage
	switch {
	case len(missing) > 0:
		return fmt.Errorf("the request is no AdmissionRequest, and no object: it has no %s: %s", strings.Join(missing, " and no "), forms)
	case strings.IndexFunc(h.Kind, unicode.IsLower) == 0:
		return fmt.Errorf("kind: %q begins with a lower-case letter: write it as kubectl api-resources does, such as Pod", h.Kind)
	// No request creates a list: kubectl sends what is in it, one after the other.
	case strings.HasSuffix(h.Kind, "List") && h.Items != nil && json.Unmarshal(h.Items, &items) == nil:
		return fmt.Errorf("a %s of %d objects: a request has one, give one of them", h.Kind, len(items))
	}
	return nil
}
