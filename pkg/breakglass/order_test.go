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

package breakglass

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const good = `apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: BreakGlass
until: 2026-01-02T04:00:00+01:00
policies: [no-privileged-pods, our.registry]
reason: nodes cannot start
`

func TestDecode(t *testing.T) {
	o, err := decode([]byte("# why\n---\n" + good + "---\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"no-privileged-pods", "our.registry"}, o.Policies)
	require.Equal(t, "nodes cannot start", o.Reason)
	require.True(t, o.until.Equal(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)))

	o, err = decode([]byte(`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "BreakGlass", "until": "2026-01-02T03:00:00Z", "policies": ["*"], "reason": "x"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"*"}, o.Policies)
}

func TestDecodeRefuses(t *testing.T) {
	for _, test := range []struct{ name, old, new, err string }{
		{"an empty file", good, "", "the file is empty"},
		{"a comment", good, "# nothing\n---\n", "the file is empty"},
		{"something after the end", "reason: nodes cannot start\n", "reason: x\n...\nmode: y\n", "more than one document"},
		{"two documents", "reason: nodes cannot start\n", "reason: x\n---\n" + good, "more than one document"},
		{"no object", good, "[1, 2]", "the file is no BreakGlass"},
		{"no YAML", good, "a: [", "the file is neither YAML nor JSON"},
		{"another version", "v1alpha1", "v1", `apiVersion is "wasm.admission.config.k8s.io/v1": write `},
		{"another kind", "BreakGlass", "Breakglass", `kind is "Breakglass": write BreakGlass`},
		{"a time without a zone", "+01:00", "", `until is "2026-01-02T04:00:00": write a time as RFC 3339`},
		{"no time", "until: 2026-01-02T04:00:00+01:00\n", "", `until is ""`},
		{"no policy", "[no-privileged-pods, our.registry]", "[]", "policies is empty"},
		{"no name", "our.registry", `Our_Registry`, `policies[1] is "Our_Registry": `},
		{"all and one", "our.registry", `"*"`, `policies[1] is "*": `},
		{"many", "[no-privileged-pods, our.registry]", "[" + strings.Repeat("a,", maxPolicies) + "b]", "policies has 1001 entries"},
		{"no reason", "reason: nodes cannot start\n", "", "reason has 0 bytes"},
		{"a long reason", "nodes cannot start", strings.Repeat("x", maxReasonBytes+1), "reason has 1025 bytes"},
		{"an unknown field", "reason:", "mode: monitor\nreason:", `unknown field "mode"`},
		{"another case", "reason:", "Reason:", `unknown field "Reason"`},
		{"a field twice", "reason:", "reason: again\nreason:", `"reason" already set`},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, good, test.old)
			_, err := decode([]byte(strings.Replace(good, test.old, test.new, 1)))
			require.ErrorContains(t, err, test.err)
		})
	}
	_, err := decode([]byte("apiVersion: v1\nkind: X\nmode: y"))
	require.Len(t, strings.Split(err.Error(), "\n"), 6, "all problems are named")
}

// Whatever is decoded is within the bounds.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "BreakGlass", "until": "2026-01-02T03:00:00Z", "policies": ["*"], "reason": "x"}`))
	f.Add([]byte("---\n---\n"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte("\xff\xfe{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxBytes {
			return
		}
		o, err := decode(data)
		if err != nil {
			return
		}
		require.Equal(t, apiVersion, o.APIVersion)
		require.Equal(t, kind, o.Kind)
		require.NotEmpty(t, o.Policies)
		require.LessOrEqual(t, len(o.Policies), maxPolicies)
		require.NotEmpty(t, o.Reason)
		require.LessOrEqual(t, len(o.Reason), maxReasonBytes)
		_, err = time.Parse(time.RFC3339, o.Until)
		require.NoError(t, err)
	})
}
