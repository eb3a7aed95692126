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
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// A server starts with the manifest that the command writes.
func TestScaffoldManifest(t *testing.T) {
	for kind, arguments := range map[string][]string{
		"ClusterAdmissionPolicy": nil,
		"AdmissionPolicy":        {"--namespace", "shop"},
	} {
		got := call(t,
			append([]string{
				"scaffold", "manifest", "-t", kind, "--title", "registries", "--settings-json",
				`{"registries": ["ghcr.io/acme"]}`, policies + "allowed-registries/policy.wasm",
			}, arguments...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Contains(t, got.out, "kind: "+kind+"\n")
		require.Contains(t, got.out, "- ghcr.io/acme\n")
		directory := t.TempDir()
		require.NoError(t, os.Chmod(directory, 0o755))
		require.NoError(t,
			os.WriteFile(filepath.Join(directory, "policy.yaml"), []byte(got.out), 0o644))
		got = call(t, "lint", "--policy-directory", directory)
		require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	}
}

// The manifest of a policy found by its digest names the URI it was pulled from.
func TestScaffoldManifestFromTheStore(t *testing.T) {
	u := newUser(t)
	uri := "registry://" + u.registry.Host + "/policies/pod-privileged:v1"
	u.does("push", policies+"pod-privileged/policy.wasm", uri)
	u.does("pull", uri)
	require.Contains(t, u.does("scaffold", "manifest", "-t", "ClusterAdmissionPolicy", uri),
		"module: "+uri+"\n")
	require.Contains(t,
		u.does("scaffold", "manifest", "-t", "ClusterAdmissionPolicy",
			strings.TrimPrefix(engine.Digest(u.policy), "sha256:")[:12]), "module: "+uri+"\n")
}

func TestScaffoldManifestRefuses(t *testing.T) {
	policy := policies + "pod-privileged/policy.wasm"
	for name, test := range map[string]struct {
		code      int
		arguments []string
		err       string
	}{
		"no type": {cli.ExitUsage, []string{policy},
			`--type: there is no "" of a policy: write one of ClusterAdmissionPolicy, AdmissionPolicy`},
		"unknown type": {cli.ExitUsage, []string{"-t", "Policy", policy},
			`--type: there is no "Policy"`},
		"namespace": {cli.ExitUsage, []string{
			"-t", "ClusterAdmissionPolicy", "--namespace", "a", policy,
		}, "--namespace: a ClusterAdmissionPolicy is in none"},
		"two settings": {cli.ExitUsage, []string{
			"-t", "AdmissionPolicy", "-s", "a", "--settings-json", "{}", policy,
		}, "exclude each other"},
		"bad title": {cli.ExitProblem, []string{
			"-t", "AdmissionPolicy", "--title", "A B", policy,
		}, "Invalid title 'A B'. Must conform to RFC 1123"},
		"no metadata": {cli.ExitProblem, []string{"-t", "AdmissionPolicy", guests + "accept.wasm"},
			""},
		"no key": {cli.ExitProblem, []string{"-t", "AdmissionPolicy", "-k", "a", policy},
			"--verification-key"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"scaffold", "manifest"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
}

// ValidatingAdmissionPolicies become manifests, with kwctl's warnings.
func TestScaffoldVAP(t *testing.T) {
	policy := "../../../../test/bats/testdata/vap.yaml"
	got := callAs(t, "kwctl", "scaffold", "vap", "--policy", policy, "--binding", policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err,
		"Warning: Using the 'latest' version of the CEL policy could lead to unexpected behavior.")
	require.Contains(t, got.out, "module: ghcr.io/kubewarden/policies/cel-policy:latest\n")
	got = call(t, "scaffold", "vap", "-p", policy, "-b", policy, "--cel-policy",
		"ghcr.io/kubewarden/policies/cel-policy:1.0.0")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Empty(t, got.err)
	got = call(t, "scaffold", "vap", "-p", policy, "-b", policy, "--cel-policy", "a b")
	require.Contains(t, got.err, "The CEL policy module specified is not a valid OCI reference")
	for flag, arguments := range map[string][]string{
		"--policy":  {"-b", policy},
		"--binding": {"-p", policy},
	} {
		got = call(t, append([]string{"scaffold", "vap"}, arguments...)...)
		require.Equal(t, cli.ExitUsage, got.code)
		require.Contains(t, got.err, flag+" is required")
		require.Empty(t, got.out)
	}
}

const widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n"

func TestScaffoldAdmissionRequest(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	pod := file(t, "pod.yaml",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: nginx}\nspec: {containers: [{name: c, image: nginx, securityContext: {privileged: true}}]}\n")
	for operation, arguments := range map[string][]string{
		"CREATE": {"--object", pod}, "UPDATE": {"--object", pod, "--old-object", pod},
		"DELETE": {"--old-object", pod},
	} {
		got := call(t,
			append([]string{"scaffold", "admission-request", "-o", operation}, arguments...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Empty(t, got.err)
		var request admissionv1.AdmissionRequest
		require.NoError(t, json.Unmarshal([]byte(got.out), &request))
		require.Equal(t, "pods", request.Resource.Resource)
		require.Equal(t, "default", request.Namespace)
		require.Equal(t, "nginx", request.Name)
		require.Equal(t, "test-user", request.UserInfo.Username)
		require.EqualValues(t, operation, request.Operation)
		require.Equal(t, operation == "DELETE", request.Object.Raw == nil)
		require.Equal(t, operation == "CREATE", request.OldObject.Raw == nil)
		if operation == "CREATE" {
			got = callWith(t, got.out, "run", "-r", "-", policies+"pod-privileged/policy.wasm")
			require.Contains(t, got.out, `"allowed":false`, got.err)
		}
	}
	namespace := file(t, "namespace.yaml",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	require.Contains(t,
		call(t, "scaffold", "admission-request", "-o", "CREATE", "--object", namespace).out,
		`"namespace": "shop"`)
	got := call(t, "scaffold", "admission-request", "-o", "CREATE", "--object",
		file(t, "widget.yaml", widget))
	require.Equal(t, cli.ExitOK, got.code)
	require.Contains(t, got.err,
		"Warning: Could not find out how Widget of example.com/v1 is served, so the resource widgets is a guess")
	require.Contains(t, got.out, `"resource": "widgets"`)
}

func TestScaffoldAdmissionRequestRefuses(t *testing.T) {
	pod := file(t, "pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
	other := file(t, "other.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: c}\n")
	for name, test := range map[string]struct {
		code      int
		arguments []string
		err       string
	}{
		"no operation": {cli.ExitUsage, nil, `--operation: there is no ""`},
		"CONNECT": {cli.ExitUsage, []string{"-o", "CONNECT", "--object", pod},
			`--operation: there is no "CONNECT" of an object: write one of CREATE, UPDATE, DELETE`},
		"CREATE without an object": {cli.ExitUsage, []string{"-o", "CREATE"},
			"CREATE operation requires an object"},
		"CREATE with an old one": {cli.ExitUsage, []string{
			"-o", "CREATE", "--object", pod, "--old-object", pod,
		}, "CREATE operation does not require an old_object"},
		"UPDATE without an object": {cli.ExitUsage, []string{"-o", "UPDATE", "--old-object", pod},
			"UPDATE operation requires an object"},
		"UPDATE without an old": {cli.ExitUsage, []string{"-o", "UPDATE", "--object", pod},
			"UPDATE operation requires an old_object"},
		"DELETE without an old": {cli.ExitUsage, []string{"-o", "DELETE"},
			"DELETE operation requires an old_object"},
		"DELETE with an object": {cli.ExitUsage, []string{
			"-o", "DELETE", "--object", pod, "--old-object", pod,
		}, "DELETE operation does not require an object"},
		"UPDATE of another": {cli.ExitProblem, []string{
			"-o", "UPDATE", "--object", pod, "--old-object", other,
		}, `the object is v1 Pod "a", and the old one v1 Pod "c/b"`},
		"no object": {cli.ExitProblem,
			[]string{"-o", "CREATE", "--object", file(t, "x", "a: b")}, "no apiVersion"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"scaffold", "admission-request"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
}

func TestScaffoldArtifactHub(t *testing.T) {
	metadata := `mutating: false
rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
annotations: {io.kubewarden.policy.title: a, io.kubewarden.policy.version: 1.2.3, io.kubewarden.policy.description: d, io.kubewarden.policy.ociUrl: ghcr.io/a/b, io.artifacthub.displayName: A}
`
	t.Chdir(t.TempDir())
	got := call(t, "scaffold", "artifacthub")
	require.Equal(t, cli.ExitUsage, got.code)
	require.Contains(t, got.err,
		"path to metadata file not provided, plus 'metadata.yml' not found")

	require.NoError(t, os.WriteFile("metadata.yml", []byte(metadata), 0o600))
	require.NoError(t, os.WriteFile("questions-ui.yml", []byte("questions: []\n"), 0o600))
	got = call(t, "scaffold", "artifacthub", "-v", "9.9.9", "-o", "artifacthub-pkg.yml")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err,
		"--version is ignored: the metadata says that the version is 1.2.3")
	text, err := os.ReadFile("artifacthub-pkg.yml")
	require.NoError(t, err)
	require.Contains(t, string(text), "version: 1.2.3\nname: a\n")
	require.Contains(t, string(text), "questions: []")
	require.Equal(t, cli.ExitOK, call(t, "scaffold", "artifacthub", "--verbose").code)
}
