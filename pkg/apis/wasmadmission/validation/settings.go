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

package validation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateSettings checks that settings are one JSON object in which no field occurs twice. Which
// of two fields counts would depend on the policy's language.
func validateSettings(settings runtime.RawExtension, fldPath *field.Path) field.ErrorList {
	if !json.Valid(settings.Raw) || bytes.TrimSpace(settings.Raw)[0] != '{' {
		return field.ErrorList{field.Invalid(fldPath, abbreviate(settings.Raw),
			"must be an object: write fields with values below settings, or {} for none")}
	}
	name, err := repeatedField(settings.Raw)
	if err != nil {
		return field.ErrorList{field.InternalError(fldPath, err)}
	}
	if name != nil {
		return field.ErrorList{
			duplicate(fldPath, *name, "occurs twice in one object: remove one of the two"),
		}
	}
	return nil
}

// abbreviate bounds how much of a bad value a message repeats.
func abbreviate(raw []byte) string {
	const most = 64
	if len(raw) <= most {
		return string(raw)
	}
	return string(raw[:most]) + "…"
}

// repeatedField returns the first name that occurs twice in one object of the document, or nil.
func repeatedField(document []byte) (*string, error) {
	// One entry for each object or list around the token; nil stands for a list.
	var around []*object
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading settings: %w", err)
		}
		switch delimiter, _ := token.(json.Delim); delimiter {
		case '}', ']':
			around = around[:len(around)-1]
			continue
		}
		if len(around) > 0 && around[len(around)-1] != nil {
			if name := around[len(around)-1].repeats(token); name != nil {
				return name, nil
			}
		}
		switch delimiter, _ := token.(json.Delim); delimiter {
		case '{':
			around = append(around, &object{names: sets.New[string]()})
		case '[':
			around = append(around, nil)
		}
	}
}

// object is a JSON object whose tokens are being read.
type object struct {
	names sets.Set[string]
	// inField is set between the name of a field and its value.
	inField bool
}

// repeats consumes the next token of the object. It returns the token if it is a field name that
// occurred before.
func (o *object) repeats(token json.Token) *string {
	o.inField = !o.inField
	if !o.inField {
		return nil
	}
	name, _ := token.(string)
	if o.names.Has(name) {
		return &name
	}
	o.names.Insert(name)
	return nil
}
