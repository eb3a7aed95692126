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

package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Value rewords an error about a value of the wrong type in YAML terms. It returns other errors
// unchanged.
func Value(err error) error {
	mismatch := (*json.UnmarshalTypeError)(nil)
	if !errors.As(err, &mismatch) {
		return err
	}
	text := fmt.Sprintf("%s does not fit: write %s", mismatch.Value, Expected(mismatch.Type))
	if mismatch.Field != "" {
		text = mismatch.Field + ": " + text
	}
	return errors.New(text)
}

// The parser's errors that name Go types.
var (
	wrongType    = regexp.MustCompile(`^(line \d+: )cannot unmarshal !!(\w+)(?: .*)? into (\S+)$`)
	unknownField = regexp.MustCompile(`^(line \d+: )field (\S+) not found in type \S+$`)
)

// YAML rewords a YAML parser's errors in one line for the document's author, with the remedy for
// each.
func YAML(err error) error {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	if !strings.Contains(text, "unmarshal errors:") {
		return errors.New(text)
	}
	var lines []string
	for _, line := range Strict(err) {
		before := strings.TrimSuffix(line.Error(), ": "+twice)
		if m := wrongType.FindStringSubmatch(before); m != nil {
			lines = append(lines,
				fmt.Sprintf("%s%s does not fit: write %s", m[1], yamlType(m[2]),
					expectedText(m[3])))
		} else if m := unknownField.FindStringSubmatch(before); m != nil {
			lines = append(lines, fmt.Sprintf("%sunknown field %q: %s", m[1], m[2], unknown))
		} else {
			lines = append(lines, line.Error())
		}
	}
	return errors.New(strings.Join(lines, "; "))
}

// yamlType returns the name of a YAML type from the parser's tag.
func yamlType(tag string) string {
	switch tag {
	case "map":
		return "object"
	case "seq":
		return "list"
	case "str":
		return "string"
	}
	return tag
}

// expectedText is [Expected] for a type of which only the name is known.
func expectedText(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "string":
		return "a string"
	}
	return "an object"
}
