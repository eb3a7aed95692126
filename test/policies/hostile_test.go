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

package policies_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// handWritten are the policies with their own JSON readers.
var handWritten = []string{"always-pull", "label-from-namespace-c", "no-latest-tag"}

// TestHostileReview checks that these policies do not accept a malformed review if the data that
// they need comes after the fault, or if quotes or brackets are wrong.
func TestHostileReview(t *testing.T) {
	const settings = `"settings":{"label":"owner"}`
	for name, review := range map[string]string{
		"not an object":              `[]`,
		"two values":                 `{"request":{},` + settings + `} {}`,
		"comma after the last":       `{` + settings + `,}`,
		"comma before the first":     `{,"request":{},` + settings + `}`,
		"two commas":                 `{` + settings + `,,"request":{}}`,
		"no comma":                   `{` + settings + ` "request":{}}`,
		"no colon":                   `{"request" {},` + settings + `}`,
		"name without quotes":        `{request:{},` + settings + `}`,
		"quote in a bare value":      `{"a":b","request":{},` + settings + `}`,
		"string without an end":      `{"request":{},` + settings + `,"a":"b}`,
		"backslash at the end":       `{"request":{},` + settings + `,"a":"\`,
		"object without an end":      `{"request":{"a":{},` + settings + `}`,
		"comma within the request":   `{"request":{,"object":{}},` + settings + `}`,
		"nothing but nested objects": strings.Repeat(`{"request":`, 1<<20),
		"nested and without an end": `{"a":` + strings.Repeat(`[`, 1<<20) + `,"request":{},` +
			settings + `}`,
	} {
		for _, policy := range handWritten {
			guest := startPolicy(t, policy, noHostCalls)
			response, err := guest.call(t.Context(), "validate", []byte(review))
			require.ErrorContains(t, err, "guest error: ", "%s: %s: %s", policy, name, response)
		}
	}
}

// TestHostileContainers checks that faults are found even inside containers.
func TestHostileContainers(t *testing.T) {
	for name, containers := range map[string]string{
		"comma before the first": `[,{"image":"a:1"}]`,
		"comma after the last":   `[{"image":"a:1"},]`,
		"no comma":               `[{"image":"a:1"} {"image":"a:1"}]`,
		"no comma in one":        `[{"image":"a:1" "name":"a"}]`,
		"bare text in one":       `[{"image":"a:1",name:"a"}]`,
	} {
		for _, policy := range []string{"always-pull", "no-latest-tag"} {
			guest := startPolicy(t, policy, noHostCalls)
			for _, object := range []string{
				`{"spec":{"containers":` + containers + `}}`,
				`{"spec":{"template":{"spec":{"containers":` + containers + `}}}}`,
			} {
				response, err := guest.call(t.Context(), "validate",
					[]byte(`{"request":{"object":`+object+`}}`))
				require.ErrorContains(t, err, "guest error: ", "%s: %s: %s", policy, name, response)
			}
		}
	}
}

// TestDeepReview checks that nesting does not exhaust the stack.
func TestDeepReview(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 1<<19) + strings.Repeat(`]}`, 1<<19)
	review := `{"request":{"uid":` + deep + `,"object":{"metadata":` + deep +
		`,"spec":{"template":` + deep + `,"containers":` +
		deep + `}}},"settings":{"label":"owner"}}`
	for _, policy := range handWritten {
		guest := startPolicy(t, policy, noHostCalls)
		response, err := guest.call(t.Context(), "validate", []byte(review))
		require.NoError(t, err, policy)
		require.JSONEq(t, `{"accepted":true}`, string(response), policy)
	}
}
