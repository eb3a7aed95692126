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
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/jsontext"
)

// NoSettings are the settings of a policy without settings. Any field is an error.
type NoSettings struct{}

// decodeSettings decodes settings. It returns an error for fields that nobody would read.
func decodeSettings[S any](text []byte) (settings S, err error) {
	err = jsontext.DecodeStrictly(text, &settings)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		// If a number does not fit, its value is included.
		value := strings.TrimPrefix(mismatch.Value, "number ")
		return settings, fmt.Errorf("%s: %s is expected, not %s",
			cmp.Or(mismatch.Field, "the settings"), describe(mismatch.Type),
			cmp.Or(jsonTypes[value], value))
	}
	if err != nil {
		// The error for unknown fields has no type.
		return settings, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return settings, nil
}

// jsonTypes maps encoding/json's names of JSON types to names for people.
var jsonTypes = map[string]string{
	"string": "a string", "bool": "a boolean", "number": "a number", "array": "a list",
	"object": "an object",
}

// describe returns the JSON type of a Go type's values.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return describe(t.Elem())
	}
	// The size matters: 300 does not fit a uint8.
	return "an integer (" + t.String() + ")"
}
