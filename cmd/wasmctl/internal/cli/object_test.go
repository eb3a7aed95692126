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

package cli_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

const (
	podYAML = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: web, image: 'web:latest'}]}\n"
	podJSON = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1.0"}]}}`
)

// Whoever has an object need not know what a request looks like.
func TestRunWithAnObject(t *testing.T) {
	const policy = policies + "no-latest-tag/policy.wasm"
	got := call(t, "run", "-r", file(t, "pod.yaml", podYAML), policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, `"allowed":false,"status":{"message":"image 'web:latest' must have a tag`)
	got = callWith(t, podJSON, "run", "-r", "-", policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, `"allowed":true`)

	got = callWith(t, podJSON, "run", "-r", "-", "--operation", "PATCH", policy)
	require.Equal(t, cli.ExitUsage, got.code, got.err)
	require.Contains(t, got.err, `--operation: there is no "PATCH" of an object: write one of [CREATE UPDATE DELETE]`)
	got = call(t, "run", "-r", policies+"pod-privileged/testdata/pod-delete.json", "--user", "ann", policy)
	require.Equal(t, cli.ExitUsage, got.code, got.err)
	require.Contains(t, got.err, "--user is for a request that is made of an object, and this is none")
}

// A request has one object: what is beside it would be judged by nobody, and nobody told.
func TestRunWithWhatIsNoObject(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"two objects":         {podYAML + "---\n" + podYAML, "a second document begins"},
		"nothing, then one":   {"---\n# none\n---\n" + podYAML, "a second document begins"},
		"list":                {"apiVersion: v1\nkind: List\nitems: [{}, {}]\n", "a List of 2 objects: a request has one, give one of them"},
		"list of a kind":      {`{"apiVersion": "v1", "kind": "PodList", "items": []}`, "a PodList of 0 objects: a request has one"},
		"a key twice":         {"apiVersion: v1\nkind: Pod\nkind: Pod\n", "not a JSON object, nor one document of YAML: yaml: unmarshal errors:\n  line 3: key \"kind\" already set in map"},
		"neither of the two":  {"{", "not a JSON object, nor one document of YAML"},
		"text":                {"hello", "the request is not a JSON object"},
		"review in YAML":      {"apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {uid: a}\n", "missing field `kind`"},
		"object without kind": {"apiVersion: v1\nmetadata: {name: web}\n", "missing field `uid`"},
	} {
		t.Run(name, func(t *testing.T) {
			got := callWith(t, test.text, "run", "-r", "-", policies+"no-latest-tag/policy.wasm")
			require.Equal(t, cli.ExitProblem, got.code, got.out)
			require.Contains(t, got.err, test.want)
		})
	}
	// As kubectl takes it: a merge key may be overridden.
	got := callWith(t, "base: &base {name: a}\napiVersion: v1\nkind: Pod\nmetadata: {<<: *base, name: web}\n---\n",
		"run", "-r", "-", policies+"no-latest-tag/policy.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
}

// A text file is no metadata's fault.
func TestAnnotateBlamesTheModule(t *testing.T) {
	module := file(t, "policy.txt", "this is text, not a module")
	got := call(t, "annotate", "-m", bats+"metadata.yml", "-o", module+".out", module)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "Error: "+module+": ")
	require.Contains(t, got.err, "not a WebAssembly module")
	require.NotContains(t, got.err, "metadata.yml")
}

func TestVersionHasTheCommit(t *testing.T) {
	got := call(t, "--version")
	require.Equal(t, cli.ExitOK, got.code)
	require.Regexp(t, `^wasmctl version \S+, commit \S+\n$`, got.out)
}

func TestInspectSaysNothingTwice(t *testing.T) {
	got := call(t, "inspect", opaPolicy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, "Execution mode:")
	require.NotContains(t, got.out, "Unknown")
	got = call(t, "inspect", bare(t, waPCPolicy))
	require.Contains(t, got.out, "annotate it, for example with wasmctl annotate")
}

// Of several answers each says whose it is.
func TestRunNamesSeveralPolicies(t *testing.T) {
	module, err := os.ReadFile(policies + "no-latest-tag/policy.wasm")
	require.NoError(t, err)
	var manifests []string
	path := file(t, "policy.wasm", string(module))
	for _, name := range []string{"first", "second"} {
		manifest, err := json.Marshal(map[string]any{
			"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"module": "file://" + path, "mutating": false, "rules": []any{
				map[string]any{"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"pods"}, "operations": []string{"CREATE"}},
			}},
		})
		require.NoError(t, err)
		manifests = append(manifests, string(manifest))
	}
	got := call(t, "run", "-r", file(t, "pod.yaml", podYAML), file(t, "both.yaml", strings.Join(manifests, "\n---\n")))
	require.Equal(t, cli.ExitOK, got.code, got.err)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], `{"policy":"clusterwide-first","uid":`)
	require.Contains(t, lines[1], `{"policy":"clusterwide-second","uid":`)
	got = call(t, "run", "-r", file(t, "pod.yaml", podYAML), file(t, "one.yaml", manifests[0]))
	require.NotContains(t, got.out, `"policy"`, "a single answer is kwctl's")
}
