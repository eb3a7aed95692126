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

package wasmctl

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// sample is a policy that reads the cluster, and a request that it can only decide with the
// cluster.
type sample struct {
	policy, request, settings string
	// verdict, message and patch are parts of the response. An empty message or patch means that
	// there is none.
	verdict, message, patch string
	// asked are the recorded requests.
	asked []string
}

func samples() map[string]*sample {
	get := []string{
		"!KubernetesGetResource\napi_version: v1\ndisable_cache: false\nkind: Namespace\nname: shop\n",
	}
	return map[string]*sample{
		"waPC": {
			policy: policies + "label-from-namespace-c/policy.wasm", request: policies +
				"label-from-namespace-c/testdata/pod-create.json", settings: `{"label":"owner"}`,
			verdict: `"allowed":true`, patch: `"cluster-itself"`, asked: get,
		},
		"WASI": {
			policy: policies + "inherit-owner/optimized.wasm", request: policies +
				"inherit-owner/testdata/pod-create.json", settings: `{"label":"owner"}`,
			verdict: `"allowed":true`, patch: `"cluster-itself"`, asked: get,
		},
		"Gatekeeper": {
			policy: policies + "unique-ingress-host/policy.wasm", request: policies +
				"unique-ingress-host/testdata/ingress-create-taken.json", settings: "{}",
			verdict: `"allowed":false`, message: "host a.example.com belongs to Ingress shop/real",
			asked: []string{
				"!KubernetesListResourceAll\napi_version: networking.k8s.io/v1\nkind: Ingress\n",
			},
		},
		"OPA": {
			policy: policies + "label-from-namespace-rego/policy.wasm", request: policies +
				"label-from-namespace-rego/testdata/pod-create.json", settings: `{"label":"owner"}`,
			verdict: `"allowed":true`, patch: `"cluster-itself"`,
			asked: []string{
				"!KubernetesListResourceAll\napi_version: v1\nkind: Namespace\n",
				"!KubernetesGetResourcePluralName\napi_version: v1\nkind: Namespace\n",
			},
		},
	}
}

// populate creates the objects that the samples look up.
func populate(t *testing.T) {
	t.Helper()
	client := server.Clientset()
	_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "shop",
			Labels: map[string]string{"owner": "cluster-itself"},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.NetworkingV1().Ingresses("shop").Create(t.Context(), &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "real"},
		Spec: networkingv1.IngressSpec{
			DefaultBackend: &networkingv1.IngressBackend{
				Service: &networkingv1.IngressServiceBackend{
					Name: "web",
					Port: networkingv1.ServiceBackendPort{Number: 80},
				},
			},
			Rules: []networkingv1.IngressRule{{Host: "a.example.com"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (s *sample) check(t *testing.T, response string) {
	t.Helper()
	require.Contains(t, response, s.verdict)
	var of struct {
		Patch  string
		Status struct{ Message string }
	}
	require.NoError(t, json.Unmarshal([]byte(response), &of))
	require.Equal(t, s.message, of.Status.Message)
	patch, err := base64.StdEncoding.DecodeString(of.Patch)
	require.NoError(t, err)
	require.Equal(t, s.patch == "", len(patch) == 0)
	require.Contains(t, string(patch), s.patch)
}

// asked returns the requests in a recorded session.
func asked(t *testing.T, session []byte) (requests []string) {
	t.Helper()
	var exchanges []struct{ Request string }
	require.NoError(t, yaml.Unmarshal(session, &exchanges))
	for _, e := range exchanges {
		requests = append(requests, e.Request)
	}
	return requests
}

// TestLiveRecordedReplayed makes policies of every calling convention decide with the live cluster.
// Then it makes them decide without a cluster, with the recorded session.
func TestLiveRecordedReplayed(t *testing.T) {
	populate(t)
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			recording := filepath.Join(t.TempDir(), "session.yml")
			arguments := []string{
				"run", "--allow-context-aware", "--timeout", "30s", "-r", s.request,
				"--settings-json", s.settings, s.policy,
			}

			for _, way := range []struct{ variables, flags []string }{
				{nil, []string{"--kubeconfig", server.Kubeconfig()}},
				{[]string{"KUBECONFIG=" + server.Kubeconfig()}, nil},
				{nil, []string{
					"--kubeconfig",
					server.Kubeconfig(),
					"--record-host-capabilities-interactions",
					recording,
				}},
			} {
				live := call(t, way.variables, append(arguments, way.flags...)...)
				require.Zero(t, live.ExitCode, live.Stderr)
				s.check(t, live.Stdout)
			}

			info, err := os.Stat(recording)
			require.NoError(t, err)
			require.EqualValues(t, 0o600, info.Mode(), "the session contains the cluster's responses, so it must be private")
			text, err := os.ReadFile(recording)
			require.NoError(t, err)
			require.Equal(t, s.asked, asked(t, text))

			replayed := call(t, nil,
				append(arguments, "--replay-host-capabilities-interactions", recording)...)
			require.Zero(t, replayed.ExitCode, replayed.Stderr)
			s.check(t, replayed.Stdout)
			require.NotContains(t, replayed.Stderr, "Warning")

			alone := call(t, nil, arguments...)
			require.Zero(t, alone.ExitCode, alone.Stderr)
			require.Contains(t, alone.Stdout, `"allowed":false`)
			require.Contains(t, alone.Stdout, "there is no usable kubeconfig")
		})
	}
}

// TestForbiddenLookups checks that the server refuses lookups that the kubeconfig's user may not
// make, and that the policy gets the error.
func TestForbiddenLookups(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := os.ReadFile(server.Kubeconfig())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(nobody, impersonating(t, text, "nobody"), 0o600))
	for name, s := range samples() {
		t.Run(name, func(t *testing.T) {
			recording := filepath.Join(t.TempDir(), "session.yml")
			arguments := []string{
				"run", "--allow-context-aware", "--timeout", "30s", "-r", s.request,
				"--settings-json", s.settings, s.policy,
			}
			live := call(t, nil,
				append(arguments, "--kubeconfig", nobody, "--record-host-capabilities-interactions",
					recording)...)
			require.Zero(t, live.ExitCode, live.Stderr)
			require.Contains(t, live.Stdout, `"allowed":false`)
			require.Contains(t, live.Stdout, `\"nobody\" cannot `)
			replayed := call(t, nil,
				append(arguments, "--replay-host-capabilities-interactions", recording)...)
			require.Equal(t, live.Stdout, replayed.Stdout)
		})
	}
}
