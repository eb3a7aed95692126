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

package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// operations are those that a request can be made for. CONNECT has no object of its own.
var operations = []string{"CREATE", "UPDATE", "DELETE"}

// objectFlags say what request is made of an object.
type objectFlags struct {
	operation, user string
	groups          []string
	flags           *pflag.FlagSet
}

func (f *objectFlags) add(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.operation, "operation", "CREATE", "`operation` of the request that is made of an object: CREATE, UPDATE (from the same object) or DELETE")
	flags.StringVar(&f.user, "user", "kubernetes-admin", "`name` of the user in the request that is made of an object")
	flags.StringArrayVar(&f.groups, "group", []string{"system:authenticated"}, "`group` of the user in the request that is made of an object; may be repeated")
}

// requestOf returns the request that data holds, in JSON. If it is an object, a request is
// made of it; a raw request is returned as it is.
func (f *objectFlags) requestOf(data []byte, raw bool) ([]byte, error) {
	if !raw && !json.Valid(data) {
		object, err := strictyaml.ToJSON(data)
		if err != nil {
			return nil, fmt.Errorf("the request is not a JSON object, nor one document of YAML: %w", err)
		}
		data = object
	}
	var head struct {
		metav1.PartialObjectMetadata
		Items []json.RawMessage `json:"items"`
	}
	if raw || json.Unmarshal(data, &head) != nil || head.APIVersion == "" || head.Kind == "" || head.Kind == "AdmissionReview" {
		return data, f.checkUnused()
	}
	// No request creates a list: kubectl sends what is in it, one after the other.
	if head.Items != nil && strings.HasSuffix(head.Kind, "List") {
		return nil, fmt.Errorf("a %s of %d objects: a request has one, give one of them", head.Kind, len(head.Items))
	}
	return f.request(data, &head.PartialObjectMetadata)
}

// checkUnused refuses flags that are for requests that are made here.
func (f *objectFlags) checkUnused() error {
	for _, name := range []string{"operation", "user", "group"} {
		if f.flags.Changed(name) {
			return usagef("--%s is for a request that is made of an object, and this is none: remove the flag, or give an object with apiVersion and kind", name)
		}
	}
	return nil
}

func (f *objectFlags) request(object []byte, head *metav1.PartialObjectMetadata) ([]byte, error) {
	if !slices.Contains(operations, f.operation) {
		return nil, usagef("--operation: there is no %q of an object: write one of %v", f.operation, operations)
	}
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("apiVersion: %w", err)
	}
	kind := version.WithKind(head.Kind)
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	requestKind, requestResource := metav1.GroupVersionKind(kind), metav1.GroupVersionResource(resource)
	request := admissionv1.AdmissionRequest{
		UID:  uuid.NewUUID(),
		Kind: requestKind, RequestKind: &requestKind,
		Resource: requestResource, RequestResource: &requestResource,
		Name: head.Name, Namespace: head.Namespace,
		Operation: admissionv1.Operation(f.operation),
		UserInfo:  authenticationv1.UserInfo{Username: f.user, Groups: f.groups},
	}
	if f.operation != "DELETE" {
		request.Object = runtime.RawExtension{Raw: object}
	}
	if f.operation != "CREATE" {
		request.OldObject = runtime.RawExtension{Raw: object}
	}
	return json.Marshal(request)
}
