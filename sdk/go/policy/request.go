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

package policy

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/jsontext"
)

// Operation is the operation on an object.
type Operation string

// The operations of Kubernetes.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Request is an admission request. Fields that the host omits are empty. Its JSON is that of
// admission.k8s.io/v1.
type Request struct {
	// UID identifies the request.
	UID string `json:"uid"`
	// Kind is the kind of the object.
	Kind GroupVersionKind `json:"kind"`
	// Resource is the resource that the policy evaluates, in the plural.
	Resource GroupVersionResource `json:"resource"`
	// SubResource is "" for the object itself, or for example "exec".
	SubResource string `json:"subResource,omitempty"`
	// RequestKind, RequestResource and RequestSubResource are those of the original request. They
	// differ if the policy matched an equivalent resource.
	RequestKind        GroupVersionKind     `json:"requestKind,omitzero"`
	RequestResource    GroupVersionResource `json:"requestResource,omitzero"`
	RequestSubResource string               `json:"requestSubResource,omitempty"`
	// Name is "" on a CREATE that leaves the name to the server.
	Name string `json:"name,omitempty"`
	// Namespace is "" for cluster-scoped objects.
	Namespace string    `json:"namespace,omitempty"`
	Operation Operation `json:"operation"`
	// UserInfo identifies the user.
	UserInfo UserInfo `json:"userInfo"`
	// Object is the new object, as the host sent it. It is nil on DELETE. [Object] decodes it.
	Object json.RawMessage `json:"object,omitempty"`
	// OldObject is the existing object. It is nil on CREATE and CONNECT. [OldObject] decodes it.
	OldObject json.RawMessage `json:"oldObject,omitempty"`
	// Options are the options of the operation, such as meta.k8s.io/v1 CreateOptions.
	Options json.RawMessage `json:"options,omitempty"`
	// DryRun is set if nothing will be stored.
	DryRun bool `json:"dryRun,omitempty"`
}

// GroupVersionKind names a kind. The core group is "".
type GroupVersionKind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// GroupVersionResource names a resource. The core group is "".
type GroupVersionResource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// UserInfo is what the API server knows about a user.
type UserInfo struct {
	Username string              `json:"username,omitempty"`
	UID      string              `json:"uid,omitempty"`
	Groups   []string            `json:"groups,omitempty"`
	Extra    map[string][]string `json:"extra,omitempty"`
}

// ErrNoObject is the error of [Object] and [OldObject] if the request has no such object.
var ErrNoObject = errors.New("the request carries no object")

// Object decodes the new object of a request. T may be a type of k8s.io/api, a type of your own
// with only the fields that you need, [PartialObjectMetadata], or map[string]any. In the last,
// numbers are a json.Number, because a float64 cannot hold large integers. For a request without an
// object, such as a DELETE, the error is [ErrNoObject].
//
// Fields that T does not have are lost, so do not pass a type with some of the fields to [Mutate].
func Object[T any](r *Request) (T, error) { return decodeObject[T]("object", r.Object) }

// OldObject is like [Object], but decodes the existing object of an UPDATE or DELETE.
func OldObject[T any](r *Request) (T, error) { return decodeObject[T]("oldObject", r.OldObject) }

func decodeObject[T any](field string, text []byte) (object T, err error) {
	if text == nil {
		return object, ErrNoObject
	}
	if partial, ok := any(&object).(*PartialObjectMetadata); ok {
		err = partial.decode(text)
	} else {
		err = jsontext.Decode(text, &object)
	}
	if err != nil {
		return object, fmt.Errorf("decode the request's %s: %w", field, err)
	}
	return object, nil
}

// PartialObjectMetadata is the part that objects of all kinds have. [Object] decodes it in a
// fraction of the time of other types, because it skips the rest of the object.
type PartialObjectMetadata struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   ObjectMeta `json:"metadata"`
}

func (p *PartialObjectMetadata) decode(text []byte) error {
	return jsontext.Members(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "apiVersion":
			p.APIVersion, err = jsontext.String(value)
		case "kind":
			p.Kind, err = jsontext.String(value)
		case "metadata":
			err = p.Metadata.decode(value)
		}
		return err
	})
}

// ObjectMeta is the metadata of an object, with the fields that policies usually need.
type ObjectMeta struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Namespace    string            `json:"namespace"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	Finalizers   []string          `json:"finalizers"`
	// DeletionTimestamp is set if the object is being deleted, in RFC 3339.
	DeletionTimestamp *string `json:"deletionTimestamp"`
}

// decode reads the metadata without encoding/json, which would read the managed fields twice to
// skip them.
func (m *ObjectMeta) decode(text []byte) error {
	if jsontext.IsNull(text) {
		return nil
	}
	return jsontext.Members(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "name":
			m.Name, err = jsontext.String(value)
		case "generateName":
			m.GenerateName, err = jsontext.String(value)
		case "namespace":
			m.Namespace, err = jsontext.String(value)
		case "labels":
			m.Labels, err = jsontext.StringMap(value)
		case "annotations":
			m.Annotations, err = jsontext.StringMap(value)
		case "finalizers":
			m.Finalizers, err = jsontext.Strings(value)
		case "deletionTimestamp":
			if !jsontext.IsNull(value) {
				m.DeletionTimestamp = new("")
				*m.DeletionTimestamp, err = jsontext.String(value)
			}
		}
		if err != nil {
			err = fmt.Errorf("metadata.%s: %w", name, err)
		}
		return err
	})
}

// read reads the request that begins at a position of a review, and returns its end.
func (r *Request) read(review []byte, at int) (end int, err error) {
	return jsontext.Walk(review, at, func(name []byte, at int) (int, error) {
		end, err := jsontext.Skip(review, at)
		if err == nil {
			err = r.set(name, review[at:end])
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return end, nil
	})
}

// set sets the field with a name. It ignores unknown names.
func (r *Request) set(name, value []byte) (err error) {
	switch string(name) {
	case "uid":
		r.UID, err = jsontext.String(value)
	case "kind":
		err = r.Kind.decode(value)
	case "resource":
		err = r.Resource.decode(value)
	case "subResource":
		r.SubResource, err = jsontext.String(value)
	case "requestKind":
		err = r.RequestKind.decode(value)
	case "requestResource":
		err = r.RequestResource.decode(value)
	case "requestSubResource":
		r.RequestSubResource, err = jsontext.String(value)
	case "name":
		r.Name, err = jsontext.String(value)
	case "namespace":
		r.Namespace, err = jsontext.String(value)
	case "operation":
		var operation string
		operation, err = jsontext.String(value)
		r.Operation = Operation(operation)
	case "userInfo":
		err = r.UserInfo.decode(value)
	case "dryRun":
		r.DryRun, err = jsontext.Bool(value)
	case "object":
		r.Object = orNil(value)
	case "oldObject":
		r.OldObject = orNil(value)
	case "options":
		r.Options = orNil(value)
	}
	return err
}

func orNil(value []byte) json.RawMessage {
	if jsontext.IsNull(value) {
		return nil
	}
	return value
}

func (k *GroupVersionKind) decode(text []byte) error {
	return decodeName(text, "kind", &k.Group, &k.Version, &k.Kind)
}

func (r *GroupVersionResource) decode(text []byte) error {
	return decodeName(text, "resource", &r.Group, &r.Version, &r.Resource)
}

// decodeName reads a kind or a resource. last is the field with its own name.
func decodeName(text []byte, last string, group, version, lastValue *string) error {
	if jsontext.IsNull(text) {
		return nil
	}
	return jsontext.Members(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "group":
			*group, err = jsontext.String(value)
		case "version":
			*version, err = jsontext.String(value)
		case last:
			*lastValue, err = jsontext.String(value)
		}
		return err
	})
}

func (u *UserInfo) decode(text []byte) error {
	if jsontext.IsNull(text) {
		return nil
	}
	return jsontext.Members(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "username":
			u.Username, err = jsontext.String(value)
		case "uid":
			u.UID, err = jsontext.String(value)
		case "groups":
			u.Groups, err = jsontext.Strings(value)
		case "extra":
			if jsontext.IsNull(value) {
				return nil
			}
			u.Extra = map[string][]string{}
			err = jsontext.Members(value, func(key, values []byte) (err error) {
				u.Extra[string(key)], err = jsontext.Strings(values)
				return err
			})
		}
		return err
	})
}
