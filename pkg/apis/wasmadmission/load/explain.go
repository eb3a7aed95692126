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
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// explain turns the error of the decoder into one line for each problem. Strict errors
// come with the path of their field. Others are about the first value of a wrong type
// only, and those of quantities and durations do not say which field they are about:
// for them the fields are decoded one by one.
func explain(err error, fields map[string]json.RawMessage) error {
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		var lines []error
		for _, err := range strict.Errors() {
			lines = append(lines, strictLines(err)...)
		}
		return errors.Join(lines...)
	}
	if wrong := wrongValues(fields); len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	return err
}

// strictLines adds the remedy to a strict error, and splits the one error that the
// YAML parser makes of all repeated fields.
func strictLines(err error) []error {
	const (
		unknown = "correct its name or remove it"
		twice   = "remove one of the two"
	)
	if strings.HasPrefix(err.Error(), "unknown field") {
		return []error{fmt.Errorf("%w: %s", err, unknown)}
	}
	_, list, found := strings.Cut(err.Error(), "unmarshal errors:")
	if !found {
		return []error{fmt.Errorf("%w: %s", err, twice)}
	}
	var lines []error
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, fmt.Errorf("%s: %s", line, twice))
		}
	}
	return lines
}

// wrongValues decodes each field of a configuration by itself and returns an error for
// each that cannot be decoded.
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
			errs = append(errs, wrongFields(field.NewPath(list.name).Index(i), object, list.newObject)...)
		}
	}
	for _, section := range []struct {
		name      string
		newObject func() any
	}{
		{"limits", func() any { return &v1alpha1.Limits{} }},
		{"sources", func() any { return &v1alpha1.Sources{} }},
		{"reload", func() any { return &v1alpha1.Reload{} }},
		{"circuitBreaker", func() any { return &v1alpha1.CircuitBreaker{} }},
	} {
		var object map[string]json.RawMessage
		if json.Unmarshal(fields[section.name], &object) == nil {
			delete(rest, section.name)
			errs = append(errs, wrongFields(field.NewPath(section.name), object, section.newObject)...)
		}
	}
	return append(errs, wrongFields(nil, rest, func() any { return &v1alpha1.WasmAdmissionConfiguration{} })...)
}

// wrongFields decodes the fields as those of a new object each.
func wrongFields(fldPath *field.Path, fields map[string]json.RawMessage, newObject func() any) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		sole, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err == nil {
			err = json.Unmarshal(sole, newObject())
		}
		if err != nil {
			errs = append(errs, wrongField(fldPath, name, err))
		}
	}
	return errs
}

func wrongField(fldPath *field.Path, name string, err error) error {
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		// The error may be about a field inside the object, and encoding/json names the
		// embedded struct of a rule, which the file does not.
		inside := strings.Replace(mismatch.Field, "rules.Rule.", "rules.", 1)
		return fmt.Errorf("%s: %s does not fit: write %s", fldPath.Child(inside), mismatch.Value, expected(mismatch.Type))
	case errors.Is(err, resource.ErrFormatWrong):
		return fmt.Errorf("%s: is not a quantity: write a number of bytes, such as 128Mi", fldPath.Child(name))
	}
	return fmt.Errorf("%s: %w: correct the value", fldPath.Child(name), err)
}

// expected says in the terms of YAML what decodes into a Go type.
func expected(goType reflect.Type) string {
	switch goType.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int32:
		return "a whole number below 2147483648"
	case reflect.Int64:
		return "a whole number below 9223372036854775808"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a " + goType.Kind().String()
}
