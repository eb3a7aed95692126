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

package load

import (
	"encoding/json"
	"errors"
	"maps"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// explain turns the error of the decoder into one line for each problem. Strict errors already have
// the path of their field. For other errors, explain decodes the fields one by one.
func (k *kind) explain(err error, fields map[string]json.RawMessage) error {
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		var lines []error
		for _, err := range strict.Errors() {
			lines = append(lines, explain.Strict(err)...)
		}
		return errors.Join(lines...)
	}
	if wrong := k.wrongValues(fields); len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	return err
}

// wrongValues decodes each field of a configuration separately and returns an error for each one
// that fails.
func wrongValues(fields map[string]json.RawMessage) []error {
	var errs []error
	rest := maps.Clone(fields)
	for _, list := range []struct {
		name      string
		newObject func() any
	}{
		{"policies", func() any { return &v1alpha1.Policy{} }},
		{"policyGroups", func() any { return &v1alpha1.PolicyGroup{} }},
	} {
		var objects []map[string]json.RawMessage
		if json.Unmarshal(fields[list.name], &objects) != nil {
			continue
		}
		delete(rest, list.name)
		for i, object := range objects {
			errs = append(errs,
				explain.Fields(field.NewPath(list.name).Index(i), object, list.newObject)...)
		}
	}
	for _, section := range []struct {
		name      string
		newObject func() any
	}{
		{"limits", func() any { return &v1alpha1.Limits{} }},
		{"sources", func() any { return &v1alpha1.Sources{} }},
		{"verification", func() any { return &v1alpha1.Verification{} }},
		{"reload", func() any { return &v1alpha1.Reload{} }},
		{"compilation", func() any { return &v1alpha1.Compilation{} }},
		{"circuitBreaker", func() any { return &v1alpha1.CircuitBreaker{} }},
		{"mutation", func() any { return &v1alpha1.Mutation{} }},
	} {
		var object map[string]json.RawMessage
		if json.Unmarshal(fields[section.name], &object) == nil {
			delete(rest, section.name)
			errs = append(errs,
				explain.Fields(field.NewPath(section.name), object, section.newObject)...)
		}
	}
	return append(errs,
		explain.Fields(nil, rest, func() any { return &v1alpha1.WasmAdmissionConfiguration{} })...)
}
