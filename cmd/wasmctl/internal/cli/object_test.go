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
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

const (
	podYAML = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: [{name: web, image: 'web:latest'}]}\n"
	podJSON = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1.0"}]}}`
)

// Users with an object need not know the format of a request.
func TestRunWithAnObject(t *testing.T) {
	const policy = policies + "no-latest-tag/policy.wasm"
	got := call(t, "run", "-r", file(t, "pod.yaml", podYAML), policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out,
		`"allowed":false,"status":{"message":"image 'web:latest' must have a tag`)
	got = callWith(t, podJSON, "run", "-r", "-", policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, `"allowed":true`)

	got = callWith(t, podJSON, "run", "-r", "-", "--operation", "PATCH", policy)
	require.Equal(t, cli.ExitUsage, got.code, got.err)
	require.Contains(t, got.err,
		`--operation: there is no "PATCH" of an object: write one of [CREATE UPDATE DELETE]`)
	got = call(t, "run", "-r", policies+"pod-privileged/testdata/pod-delete.json", "--user", "ann",
		policy)
	require.Equal(t, cli.ExitUsage, got.code, got.err)
	require.Contains(t, got.err, "--user applies only to a request built from an object")
}

// A request holds one object. Further content would be ignored silently.
func TestRunWithWhatIsNoObject(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"two objects":       {podYAML + "---\n" + podYAML, "a second document begins"},
		"nothing, then one": {"---\n# none\n---\n" + podYAML, "a second document begins"},
		"list": {"apiVersion: v1\nkind: List\nitems: [{}, {}]\n",
			"a List of 2 objects: a request has one object, so give one of them"},
		"list of a kind": {`{"apiVersion": "v1", "kind": "PodList", "items": []}`,
			"a PodList of 0 objects: a request has one"},
		"a key twice": {"apiVersion: v1\nkind: Pod\nkind: Pod\n",
			"not a JSON object, nor one document of YAML: line 3: key \"kind\" already set in map: remove one of the two"},
		"neither of the two": {"{", "not a JSON object, nor one document of YAML"},
		"text": {"hello",
			"the request is not a JSON object, nor one of YAML, but a string: write apiVersion and kind"},
		"review in YAML": {"apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nrequest: {uid: a}\n",
			"missing field `kind`"},
		"object without kind": {"apiVersion: v1\nmetadata: {name: web}\n",
			"nor an object: it has no kind: write apiVersion and kind as for kubectl"},
		"no apiVersion": {"kind: Pod\nmetadata: {name: web}\n",
			"nor an object: it has no apiVersion: write apiVersion and kind as for kubectl"},
		"neither": {"metadata: {name: web}\n",
			"nor an object: it has no apiVersion and no kind: write apiVersion and kind"},
		"nothing":   {"", "it is empty: write apiVersion and kind"},
		"a comment": {"# nothing\n", "it is empty: write apiVersion and kind"},
		"a list": {"- a\n",
			"not a JSON object, nor one of YAML, but a list: write apiVersion and kind"},
		"lower-case kind": {"apiVersion: v1\nkind: pod\n",
			`kind: "pod" begins with a lower-case letter: write it as kubectl api-resources does, such as Pod`},
		"upper-case field": {"apiVersion: v1\nKind: Pod\n",
			`it has "Kind" instead of kind: correct the name`},
		"no version": {"apiVersion: a/b/c\nkind: Pod\n",
			`apiVersion: "a/b/c" is invalid: write a version, such as v1`},
		"version of a number": {"apiVersion: 1\nkind: Pod\n",
			"the object cannot be read: apiVersion: number does not fit: write a string"},
		"metadata of a text": {"apiVersion: v1\nkind: Pod\nmetadata: web\n",
			"metadata: string does not fit: write an object"},
		"request's field": {`{"uid": "a", "kind": {}, "resource": []}`,
			"the request is not an AdmissionRequest: resource: array does not fit: write an object"},
		"review of nothing": {"apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\n",
			"an AdmissionReview without a request: write request"},
	} {
		t.Run(name, func(t *testing.T) {
			got := callWith(t, test.text, "run", "-r", "-", policies+"no-latest-tag/policy.wasm")
			require.Equal(t, cli.ExitProblem, got.code, got.out)
			require.Contains(t, got.err, test.want)
			require.Contains(t, got.err, "Error: the standard input: ")
			require.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
			require.NotRegexp(t, `json:|Go |\bmap\[|\.v1\.|unmarshal`, got.err)
		})
	}
	// As in kubectl, a key may override a merge key.
	got := callWith(t,
		"base: &base {name: a}\napiVersion: v1\nkind: Pod\nmetadata: {<<: *base, name: web}\n---\n",
		"run", "-r", "-", policies+"no-latest-tag/policy.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
}

// An error about a module that is a text file does not blame the metadata file.
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

// With several answers, each names its policy.
func TestRunNamesSeveralPolicies(t *testing.T) {
	module, err := os.ReadFile(policies + "no-latest-tag/policy.wasm")
	require.NoError(t, err)
	var manifests []string
	path := file(t, "policy.wasm", string(module))
	for _, name := range []string{"first", "second"} {
		manifest, err := json.Marshal(map[string]any{
			"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy",
			"metadata": map[string]any{"name": name},
			"spec": map[string]any{"module": "file://" + path, "mutating": false, "rules": []any{
				map[string]any{
					"apiGroups":   []string{""},
					"apiVersions": []string{"v1"},
					"resources":   []string{"pods"},
					"operations":  []string{"CREATE"},
				},
			}},
		})
		require.NoError(t, err)
		manifests = append(manifests, string(manifest))
	}
	got := call(t, "run", "-r", file(t, "pod.yaml", podYAML),
		file(t, "both.yaml", strings.Join(manifests, "\n---\n")))
	require.Equal(t, cli.ExitOK, got.code, got.err)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], `{"policy":"clusterwide-first","uid":`)
	require.Contains(t, lines[1], `{"policy":"clusterwide-second","uid":`)
	got = call(t, "run", "-r", file(t, "pod.yaml", podYAML), file(t, "one.yaml", manifests[0]))
	require.NotContains(t, got.out, `"policy"`, "a single answer is kwctl's")
}

// Test cases accept the same requests as run, and also check the results.
func TestTestWithAnObject(t *testing.T) {
	policy, err := filepath.Abs(policies + "always-pull/policy.wasm")
	require.NoError(t, err)
	directory := t.TempDir()
	for name, text := range map[string]string{
		"pod.yaml": podYAML,
		"mutated/pod.yaml": strings.Replace(podYAML, "image:", "imagePullPolicy: Always, image:",
			1), "text.yaml": "hello\n",
		"good.cases.yaml": "policy: " + policy +
			"\ncases: [{request: pod.yaml, expect: {allowed: true}}]\n",
		"bad.cases.yaml": "policy: " + policy +
			"\ncases: [{request: text.yaml, expect: {allowed: true}}]\n",
	} {
		path := filepath.Join(directory, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	got := call(t, "test", filepath.Join(directory, "good.cases.yaml"))
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	got = call(t, "test", filepath.Join(directory, "bad.cases.yaml"))
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.out,
		"text.yaml: the request is not a JSON object, nor one of YAML, but a string: write apiVersion and kind")
}
