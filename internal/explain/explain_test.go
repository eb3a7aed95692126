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

package explain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/explain"
)

// rules is an object with lists.
type rules struct {
	Names []string `json:"names"`
	Rules []struct {
		Verbs []string `json:"verbs"`
	} `json:"rules"`
	Numbers []int `json:"numbers"`
}

// A string in place of a list is most likely the list's only element.
func TestAStringInPlaceOfAList(t *testing.T) {
	for text, want := range map[string]string{
		`{"names": "*"}`: `names: string does not fit: write a list: ["*"]`,
		`{"rules": [{"verbs": ["a"]}, {"verbs": "b"}]}`: `rules.verbs: string does not fit: write a list: ["b"]`,
		`{"names": ""}`: `names: string does not fit: write a list`,
		`{"names": "` + strings.Repeat("a", 101) + `"}`: `names: string does not fit: write a list`,
		`{"names": 1}`:          `names: number does not fit: write a list`,
		`{"names": {"a": "b"}}`: `names: object does not fit: write a list`,
		`{"rules": "a"}`:        `rules: string does not fit: write a list`,
		`{"numbers": "1"}`:      `numbers: string does not fit: write a list`,
		`{"rules": [{"verbs": 1}, {"verbs": "c"}], "names": []}`: `rules.verbs: number does not fit: write a list`,
	} {
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &fields))
		require.EqualError(t,
			errors.Join(explain.Fields(nil, fields, func() any { return &rules{} })...), want)
	}
}
