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

// Package explain rewrites the errors of strict decoders for the author of a file. Each problem
// gets one line, with the field and the remedy. [InOneLine] joins the lines into one for logs.
package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// The remedies.
const (
	unknown = "correct its name or remove it"
	twice   = "remove one of the two"
)

// Strict adds the remedy to an error about an unknown or duplicate field. It splits the YAML
// parser's single error about all duplicate fields, and returns at most a hundred of them, because
// a document may have millions.
func Strict(err error) []error {
	const most = 100
	if strings.HasPrefix(err.Error(), "unknown field") {
		return []error{fmt.Errorf("%w: %s", err, unknown)}
	}
	_, list, found := strings.Cut(err.Error(), "unmarshal errors:")
	if !found {
		return []error{fmt.Errorf("%w: %s", err, twice)}
	}
	var lines []error
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(lines) == most {
			return append(lines,
				fmt.Errorf("more than %d fields occur twice: the others are not listed", most))
		}
		lines = append(lines, fmt.Errorf("%s: %s", line, twice))
	}
	return lines
}

// Fields decodes the fields of an object one by one, each into a new object. It returns an error
// for each field that cannot be decoded, is unknown, or occurs twice. The decoder itself stops at
// the first value of a wrong type, and does not name the field of an invalid quantity or duration.
func Fields(fldPath *field.Path, fields map[string]json.RawMessage, newObject func() any) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		sole, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		var strict []error
		if err == nil {
			strict, err = kjson.UnmarshalStrict(sole, newObject())
		}
		if err != nil && isTime(name, err, newObject) {
			err = fmt.Errorf("%s: number does not fit: write a time with its unit, such as 5s",
				fldPath.Child(name))
			errs = append(errs, err)
		} else if err != nil {
			errs = append(errs, wrongField(fldPath, name, fields[name], err))
		}
		for _, err := range strict {
			errs = append(errs, Strict(within(fldPath, err))...)
		}
	}
	return errs
}

// isTime reports whether a field with a number as its value expects a duration. The decoder's error
// says only that the field expects a string. A duration differs from other strings in that it
// refuses an arbitrary one.
func isTime(name string, err error, newObject func() any) bool {
	if mismatch := (*json.UnmarshalTypeError)(nil); !errors.As(err, &mismatch) ||
		!strings.HasPrefix(mismatch.Value, "number") {
		return false
	}
	reads := func(value string) bool {
		sole, err := json.Marshal(map[string]string{name: value})
		return err == nil && kjson.UnmarshalCaseSensitivePreserveInts(sole, newObject()) == nil
	}
	return reads("1s") && !reads("no time")
}

// within prefixes the path in a strict error with the path from the root.
func within(fldPath *field.Path, err error) error {
	if at := kjson.FieldError(nil); fldPath != nil && errors.As(err, &at) {
		at.SetFieldPath(fldPath.String() + "." + at.FieldPath())
	}
	return err
}

func wrongField(fldPath *field.Path, name string, value json.RawMessage, err error) error {
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		// The error may be about a field inside the object. encoding/json includes the names of
		// embedded structs, which do not occur in the file: those around the field, and that of a
		// rule.
		inside := mismatch.Field[max(0, strings.Index(mismatch.Field, name)):]
		inside = strings.Replace(inside, "rules.Rule.", "rules.", 1)
		return fmt.Errorf("%s: %s does not fit: write %s%s", fldPath.Child(inside), mismatch.Value,
			Expected(mismatch.Type), example(mismatch, inside, value))
	case errors.Is(err, resource.ErrFormatWrong):
		return fmt.Errorf("%s: is not a quantity: write a number of bytes, such as 128Mi",
			fldPath.Child(name))
	}
	if malformed := new(time.ParseError); errors.As(err, &malformed) {
		return fmt.Errorf(
			"%s: is %.100s: write a time in RFC 3339 format, such as 2006-01-02T15:04:05Z",
			fldPath.Child(name), malformed.Value)
	}
	return fmt.Errorf("%s: %w: correct the value", fldPath.Child(name), err)
}

// example returns the list that the author probably meant by a string in its place, or "" for other
// mistakes. The path leads to the string, starting at the field with the given value.
func example(mismatch *json.UnmarshalTypeError, path string, value json.RawMessage) string {
	const most = 100
	if mismatch.Value != "string" || mismatch.Type.Kind() != reflect.Slice ||
		mismatch.Type.Elem().Kind() != reflect.String {
		return ""
	}
	var decoded any
	if json.Unmarshal(value, &decoded) != nil {
		return ""
	}
	text := stringAt(decoded, strings.Split(path, ".")[1:])
	if text == "" || len(text) > most {
		return ""
	}
	return fmt.Sprintf(": [%q]", text)
}

// stringAt returns the first string at a path, or "" if there is none. The path does not
// distinguish the elements of a list.
func stringAt(value any, path []string) string {
	switch value := value.(type) {
	case string:
		if len(path) == 0 {
			return value
		}
	case map[string]any:
		if len(path) > 0 {
			return stringAt(value[path[0]], path[1:])
		}
	case []any:
		for _, element := range value {
			if text := stringAt(element, path); len(path) > 0 && text != "" {
				return text
			}
		}
	}
	return ""
}

// Expected describes in YAML terms what decodes into a Go type.
func Expected(goType reflect.Type) string {
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
