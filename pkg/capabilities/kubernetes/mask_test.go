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

package kubernetes

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const maskedObject = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "status": {"phase": "Running"},
	"spec": {"nodeName": "n", "containers": [{"image": "i", "name": "c", "ports": [{"containerPort": 1, "name": "x"}]}, {"name": "d"}, 7],
		"matrix": [[{"a": 1, "b": 2}], [{"b": 3}]], "scalars": [1, 2], "none": null}}`

func TestMask(t *testing.T) {
	const always = `"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}`
	for name, test := range map[string]struct {
		paths []string
		want  string
	}{
		"leaf":    {[]string{"spec.nodeName"}, `"spec": {"nodeName": "n"}`},
		"subtree": {[]string{"status"}, `"status": {"phase": "Running"}`},
		"lists are transparent": {[]string{"spec.containers.image"},
			`"spec": {"containers": [{"image": "i"}, {}]}`},
		"lists in lists": {[]string{"spec.containers.ports.name"},
			`"spec": {"containers": [{"ports": [{"name": "x"}]}, {}]}`},
		"lists of lists": {[]string{"spec.matrix.a"},
			`"spec": {"matrix": [[{"a": 1}], [{}]]}`},
		"list as leaf": {[]string{"spec.scalars"}, `"spec": {"scalars": [1, 2]}`},
		"below scalars": {[]string{"spec.scalars.x", "spec.nodeName.x", "spec.none.x"},
			`"spec": {"scalars": []}`},
		"null as leaf": {[]string{"spec.none"}, `"spec": {"none": null}`},
		"missing":      {[]string{"spec.missing.x", "nowhere"}, `"spec": {}`},
		"several": {[]string{"status.phase", "spec.nodeName"},
			`"spec": {"nodeName": "n"}, "status": {"phase": "Running"}`},
		"shorter after longer": {[]string{"status.phase.x", "status"},
			`"status": {"phase": "Running"}`},
		"longer after shorter": {[]string{"status", "status.phase.x"},
			`"status": {"phase": "Running"}`},
		"duplicates": {[]string{"status", "status"}, `"status": {"phase": "Running"}`},
		"below what always stays": {[]string{"metadata.name", "status"},
			`"status": {"phase": "Running"}`},
		"empty path":  {[]string{""}, ""},
		"empty names": {[]string{"spec..x", ".", "spec."}, `"spec": {}`},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := parseMask(test.paths)
			require.NoError(t, err)
			var object map[string]any
			require.NoError(t, json.Unmarshal([]byte(maskedObject), &object))
			m.apply(object)
			got, err := json.Marshal(object)
			require.NoError(t, err)
			want := always
			if test.want != "" {
				want += ", " + test.want
			}
			require.JSONEq(t, "{"+want+"}", string(got))
		})
	}
}

func TestMaskText(t *testing.T) {
	text := func(paths ...string) string {
		_, text, err := parseMask(paths)
		require.NoError(t, err)
		return text
	}
	require.Equal(t, text("a", "b"), text("b", "a", "b"))
	require.NotEqual(t, text("a", "b"), text(`a","b`))
	require.NotEqual(t, text("a", "b"), text("a,b"))
	require.Empty(t, text())
}

func TestMaskBounds(t *testing.T) {
	_, _, err := parseMask(slices.Repeat([]string{"a"}, maxMasks+1))
	require.EqualError(t, err, "257 field masks are too many: a call may have 256")
	_, _, err = parseMask([]string{strings.Repeat(".", maxMaskBytes+1)})
	require.EqualError(t, err, "field mask is too long: 1025 bytes, the limit is 1024")
	_, _, err = parseMask([]string{strings.Repeat(".", maxMaskBytes)})
	require.NoError(t, err)
}

// A mask only removes fields. The result is part of the object, and a second application changes
// nothing.
func FuzzMask(f *testing.F) {
	f.Add("spec.containers.image", maskedObject)
	f.Add("a..b,spec.", `{"a": [[{"b": [1]}], 2], "spec": {"": {}}}`)
	f.Fuzz(func(t *testing.T, paths, text string) {
		m, _, err := parseMask(strings.Split(paths, ","))
		if err != nil {
			return
		}
		var object, whole map[string]any
		if json.Unmarshal([]byte(text), &object) != nil ||
			json.Unmarshal([]byte(text), &whole) != nil {
			return
		}
		m.apply(object)
		require.True(t, within(object, whole))
		before, err := json.Marshal(object)
		require.NoError(t, err)
		m.apply(object)
		after, err := json.Marshal(object)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

// within reports whether a value equals another with some fields removed.
func within(value, whole any) bool {
	switch value := value.(type) {
	case map[string]any:
		of, ok := whole.(map[string]any)
		for name := range value {
			ok = ok && within(value[name], of[name])
		}
		return ok
	case []any:
		of, ok := whole.([]any)
		for _, element := range value {
			n := slices.IndexFunc(of, func(e any) bool { return within(element, e) })
			if n < 0 {
				return false
			}
			of = of[n+1:]
		}
		return ok
	default:
		return value == whole
	}
}
