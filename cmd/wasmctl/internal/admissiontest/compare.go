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

package admissiontest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
)

// maxDifferences bounds the number of differences listed for an object.
const maxDifferences = 20

// comparison compares the result of a case with the expected one.
type comparison struct {
	expect   *Expectation
	failures []string
}

func (c *comparison) fail(what string, expected, got any) {
	c.failures = append(c.failures,
		fmt.Sprintf("%s\n  expected: %v\n  got:      %v", what, expected, got))
}

// settings compares whether the settings are accepted. It returns true if they are and should be.
func (c *comparison) settings(refused *SettingsError) bool {
	switch wanted := c.expect.SettingsError; {
	case refused == nil && wanted == nil:
		return true
	case refused == nil:
		c.fail("settings", "refused: … "+*wanted+" …", "accepted")
	case wanted == nil:
		c.fail("settings", "accepted", "refused: "+refused.Message)
	case !strings.Contains(refused.Message, *wanted):
		c.fail("settings", "refused: … "+*wanted+" …", "refused: "+refused.Message)
	}
	return false
}

func (c *comparison) response(request *review.Request, got *review.Response) {
	status := got.Status
	if status == nil {
		status = &review.Status{}
	}
	if got.Allowed != c.expect.Allowed {
		c.fail("verdict", verdict(c.expect.Allowed, ""), verdict(got.Allowed, status.Message))
	}
	if m := c.expect.Message; m != nil && *m != status.Message {
		c.fail("message", *m, status.Message)
	}
	if m := c.expect.MessageContains; m != nil && !strings.Contains(status.Message, *m) {
		c.fail("message", "… "+*m+" …", status.Message)
	}
	if code := c.expect.Code; code != nil && *code != status.Code {
		c.fail("code", *code, status.Code)
	}
	if w := c.expect.Warnings; w != nil && !slices.Equal(w, got.Warnings) {
		c.fail("warnings", inJSON(w), inJSON(got.Warnings))
	}
	if a := c.expect.AuditAnnotations; a != nil && !maps.Equal(a, got.AuditAnnotations) {
		c.fail("audit annotations", inJSON(a), inJSON(got.AuditAnnotations))
	}
	c.object(request, got)
}

func verdict(allowed bool, message string) string {
	text := map[bool]string{true: "allowed", false: "rejected"}[allowed]
	if message != "" {
		text += ": " + message
	}
	return text
}

func inJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// object compares the object after mutation. A rejected object is compared only if the case expects
// one.
func (c *comparison) object(request *review.Request, got *review.Response) {
	if c.expect.Object == nil && !got.Allowed {
		return
	}
	is, err := request.Patched(got)
	if err != nil {
		c.failures = append(c.failures, "object: "+err.Error())
		return
	}
	expected := request.Object()
	if c.expect.Object != nil {
		if expected, err = jsonpatch.Decode(c.expect.Object); err != nil {
			c.failures = append(c.failures, "object: the expected object is not valid JSON: "+
				err.Error())
			return
		}
	}
	lines, err := differences(expected, is)
	if err != nil {
		lines = []string{err.Error()}
	}
	if len(lines) > 0 {
		c.failures = append(c.failures, "object\n  "+strings.Join(lines, "\n  "))
	}
}

// differences lists the differences between two values, one per line.
func differences(expected, got any) ([]string, error) {
	operations, err := jsonpatch.Diff(expected, got, maxFileBytes)
	if err != nil {
		return nil, err
	}
	var lines []string
	for n, o := range operations {
		if n == maxDifferences {
			lines = append(lines, fmt.Sprintf("… and %d more", len(operations)-n))
			break
		}
		was, is := inJSON(lookUp(expected, o.Path)), string(o.Value)
		switch o.Op {
		case "add":
			was = "nothing"
		case "remove":
			is = "nothing"
		}
		path := o.Path
		if path == "" {
			path = "/"
		}
		lines = append(lines, fmt.Sprintf("%s: expected %s, got %s", path, was, is))
	}
	return lines, nil
}

// lookUp returns the value at a JSON pointer, or nil if there is none.
func lookUp(value any, pointer string) any {
	if pointer == "" {
		return value
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch at := value.(type) {
		case map[string]any:
			value = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(at) {
				return nil
			}
			value = at[n]
		}
	}
	return value
}
