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
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
)

// maxPatchBytes bounds a patch. The apiserver accepts no larger objects from clients either.
const maxPatchBytes = 3 << 20

// patch returns the JSON patch that turns the object of a request into the wanted one, or nil if
// they are the same.
func patch(r *admissionv1.AdmissionRequest, wanted []byte) ([]byte, error) {
	before, err := jsonpatch.Decode(r.Object.Raw)
	if err != nil {
		return nil, fmt.Errorf("the request's object: %w", err)
	}
	after, err := jsonpatch.Decode(wanted)
	if err != nil {
		return nil, fmt.Errorf("mutated object: %w", err)
	}
	if err := sameIdentity(identityOf(before), identityOf(after), r.Operation); err != nil {
		return nil, fmt.Errorf("mutated object: %w", err)
	}
	operations, err := jsonpatch.Diff(before, after, maxPatchBytes)
	if err != nil {
		return nil, fmt.Errorf("mutated object: %w", err)
	}
	if len(operations) == 0 {
		return nil, nil
	}
	return json.Marshal(operations)
}

// identity is what a policy may not change.
type identity struct{ apiVersion, kind, namespace, name string }

// identityOf returns the identity of an object. Fields are "" if they are missing or not strings.
func identityOf(object any) identity {
	fields, _ := object.(map[string]any)
	metadata, _ := fields["metadata"].(map[string]any)
	text := func(fields map[string]any, name string) string {
		text, _ := fields[name].(string)
		return text
	}
	return identity{
		text(fields, "apiVersion"),
		text(fields, "kind"),
		text(metadata, "namespace"),
		text(metadata, "name"),
	}
}

// sameIdentity checks that a changed object is still the object of the request. A policy may name
// an object that is being created and has no name yet.
func sameIdentity(was, is identity, operation admissionv1.Operation) error {
	unnamed := was.name == "" && operation == admissionv1.Create
	switch {
	case is.kind != was.kind || is.apiVersion != was.apiVersion:
		return fmt.Errorf("its kind is %q of %q, but the request has %q of %q", is.kind,
			is.apiVersion, was.kind, was.apiVersion)
	case is.name != was.name && !unnamed:
		return fmt.Errorf("its metadata.name is %q, but the request has %q", is.name, was.name)
	case is.namespace != was.namespace:
		return fmt.Errorf("its metadata.namespace is %q, but the request has %q", is.namespace,
			was.namespace)
	}
	return nil
}
