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

// now is two hours before the end in good.
var now = time.Date(2026, 1, 2, 1, 0, 0, 0, time.UTC)

func TestRead(t *testing.T) {
	o, err := read([]byte("# why\n---\n"+good+"---\n"), now)
	require.NoError(t, err)
	require.Equal(t, []string{"no-privileged-pods", "our.registry"}, o.Policies)
	require.Equal(t, "nodes cannot start", o.Reason)
	require.True(t, o.Until.Time.Equal(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)))

	o, err =
		read(
			[]byte(
				`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "BreakGlass", "until": "2026-01-02T03:00:00Z", "policies": ["*"], "reason": "x"}`),
			now)
	require.NoError(t, err)
	require.Equal(t, []string{"*"}, o.Policies)
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct{ name, old, new, err string }{
		{"an empty file", good, "", "the break-glass file is empty"},
		{"a comment", good, "# nothing\n---\n", "the break-glass file is empty"},
		{"something after the end", "reason: nodes cannot start\n", "reason: x\n...\nmode: y\n",
			"more than one YAML document"},
		{"two documents", "reason: nodes cannot start\n", "reason: x\n---\n" + good,
			"more than one YAML document"},
		{"no object", good, "[1, 2]", "the break-glass file is not an object"},
		{"no YAML", good, "a: [", "the break-glass file is not valid YAML"},
		{"another version", "v1alpha1", "v1",
			`apiVersion is "wasm.admission.config.k8s.io/v1": write `},
		{"another kind", "BreakGlass", "Breakglass", `kind is "Breakglass": write BreakGlass`},
		{"a time without a zone", "+01:00", "",
			`until: is 2026-01-02T04:00:00: write a time in RFC 3339`},
		{"no time", "until: 2026-01-02T04:00:00+01:00\n", "",
			"until: Required value: write a time in RFC 3339"},
		{"no policy", "[no-privileged-pods, our.registry]", "[]", "policies: Required value"},
		{"no name", "our.registry", `Our_Registry`, `policies[1]: Invalid value: "Our_Registry": `},
		{"all and one", "our.registry", `"*"`, `policies[1]: Invalid value: "*": `},
		{"many", "[no-privileged-pods, our.registry]", "[" + strings.Repeat("a,", 1000) + "b]",
			"policies: Too many: 1001: must have at most 1000 items"},
		{"a time too far ahead", "2026-01-02T04", "2026-01-03T02:00:01+01:00\n#",
			`is more than 24h0m0s ahead: write an earlier time`},
		{"no reason", "reason: nodes cannot start\n", "",
			"reason: Invalid value: \"\": has 0 bytes"},
		{"a long reason", "nodes cannot start", strings.Repeat("x", 1025), "has 1025 bytes"},
		{"an unknown field", "reason:", "mode: monitor\nreason:", `unknown field "mode"`},
		{"another case", "reason:", "Reason:", `unknown field "Reason"`},
		{"a field twice", "reason:", "reason: again\nreason:", `"reason" already set`},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Contains(t, good, test.old)
			_, err := read([]byte(strings.Replace(good, test.old, test.new, 1)), now)
			require.ErrorContains(t, err, test.err)
		})
	}
	_, err :=
		read([]byte("apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nmode: y"),
			now)
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "all problems are named")
}

// Every order that is decoded is within the bounds.
func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add(
		[]byte(
			`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "BreakGlass", "until": "2026-01-02T03:00:00Z", "policies": ["*"], "reason": "x"}`))
	f.Add([]byte("---\n---\n"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte("\xff\xfe{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxBytes {
			return
		}
		o, err := read(data, now)
		if err != nil {
			return
		}
		require.NotEmpty(t, o.Policies)
		require.LessOrEqual(t, len(o.Policies), 1000)
		require.NotEmpty(t, o.Reason)
		require.LessOrEqual(t, len(o.Reason), 1024)
		require.False(t, o.Until.IsZero())
		require.LessOrEqual(t, o.Until.Sub(now), 24*time.Hour)
	})
}
