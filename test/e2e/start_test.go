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

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func TestGateOffWithAConfiguration(t *testing.T) {
	code, stderr := harness.StartExpectingFailure(t,
		harness.Options{AdmissionConfig: admissionConfiguration(modules(t), "policies: []")})
	require.Equal(t, 1, code)
	require.Contains(t, problemLines(stderr),
		"a configuration for admission plugin WasmAdmission is given, but feature gate WasmAdmission is off: add --feature-gates=WasmAdmission=true or remove the configuration")
}

func TestGateOnWithoutPolicies(t *testing.T) {
	for name, config := range map[string]string{
		"no configuration": "",
		"an empty list":    admissionConfiguration(t.TempDir(), "policies: []"),
	} {
		t.Run(name, func(t *testing.T) {
			server := harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: config})
			require.Contains(t, server.Logs(), "NO POLICY is configured")
			metrics, err := server.Metrics(t.Context())
			require.NoError(t, err)
			require.Contains(t, metrics, "apiserver_wasm_admission_policies 0\n")
		})
	}
}

// The server reports all problems at once, both in the configuration and in the files that it
// names.
func TestEveryProblemIsReported(t *testing.T) {
	directory := modules(t)
	require.NoError(t, os.Chmod(filepath.Join(directory, "accept.wasm"), 0o666))
	for _, test := range []struct {
		name, config string
		problems     []string
	}{
		{"decoding", "policy: []", []string{`unknown field "policy"`}},
		{"validation",
			"policies: [{name: a, module: 'ftp://example.com/a.wasm'}, {name: a, module: 'file:///a.wasm', mode: watch}]",
			[]string{
				`policies[a].module: `, `policies[a].name: `, `policies[a].mode: `,
			}},
		{"loading", `policies:
- {name: missing, module: MODULES/nowhere.wasm}
- {name: writable, module: MODULES/accept.wasm}
- {name: other-digest, module: MODULES/deny.wasm, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
- {name: unknown-import, module: MODULES/unknown-import.wasm}
- {name: settings, module: MODULES/settings-refused.wasm}
- {name: no-start, module: MODULES/proc-exit-one-start.wasm}
- {name: fine, module: MODULES/deny.wasm}`, []string{
			`policies[missing].module: Invalid value: `,
			`policies[writable].module: Invalid value: `,
			`policies[other-digest].digest: Invalid value: `,
			`policies[unknown-import].module: Invalid value: `,
			`policies[settings].settings: Invalid value: the policy refuses these settings: `,
			`policies[no-start].module: Invalid value: `,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stderr := harness.StartExpectingFailure(t,
				harness.Options{
					FeatureGate:     true,
					AdmissionConfig: admissionConfiguration(directory, test.config),
				})
			require.Equal(t, 1, code)
			lines := problemLines(stderr)
			require.Len(t, lines, len(test.problems), stderr)
			for _, problem := range test.problems {
				found := false
				for _, line := range lines {
					found = found || strings.Contains(line, problem)
				}
				require.True(t, found, "no line contains %q:\n%s", problem, strings.Join(lines, "\n"))
			}
		})
	}
}

// problemLines returns the problems that a server reported when it refused to start.
func problemLines(stderr string) (problems []string) {
	for line := range strings.Lines(stderr) {
		if problem, found := strings.CutPrefix(line, "kube-apiserver: WasmAdmission: "); found {
			problems = append(problems, strings.TrimSuffix(problem, "\n"))
		}
	}
	return problems
}

// A policy that denies everything must not prevent the apiserver's own writes at start. All other
// clients are denied.
func TestApiserverStartsUnderAPolicyThatDeniesEverything(t *testing.T) {
	for _, module := range []string{"deny.wasm", "trap.wasm"} {
		t.Run(module, func(t *testing.T) {
			server := harness.Start(t,
				harness.Options{FeatureGate: true,
					AdmissionConfig: admissionConfiguration(modules(t), `policies:
- name: nothing
  module: MODULES/`+module+`
  rules: [{apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"]}]`)})
			require.Contains(t, server.Logs(), "nothing", "the validation must warn")
			_, err := server.Clientset().CoreV1().Namespaces().Get(t.Context(), "kube-system",
				metav1.GetOptions{})
			require.NoError(t, err)
			output, err := server.Kubectl(t.Context(), "create", "namespace", "any",
				"--as=system:apiserver", "--as-group=system:masters")
			require.NoError(t, err)
			require.Equal(t, 1, output.ExitCode)
			require.Contains(t, output.Stderr, `WasmAdmission policy "nothing"`)
		})
	}
}

// A server enforces policies from the first request that it answers.
func TestNothingPassesDuringStart(t *testing.T) {
	directory := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var attempts, refused, admitted atomic.Int64
	var hammers sync.WaitGroup
	for range 4 {
		hammers.Go(func() {
			for ctx.Err() == nil {
				// The server writes its kubeconfig before it serves.
				config, err := clientcmd.BuildConfigFromFlags("",
					filepath.Join(directory, "kubeconfig"))
				if err != nil {
					continue
				}
				config.QPS = -1
				client, err := kubernetes.NewForConfig(config)
				if err != nil {
					continue
				}
				for ctx.Err() == nil {
					attempts.Add(1)
					object := privilegedPod("")
					object.GenerateName = "slip-"
					_, err := client.CoreV1().Pods(metav1.NamespaceDefault).
						Create(ctx, object, metav1.CreateOptions{})
					switch {
					case err == nil:
						admitted.Add(1)
					case strings.Contains(err.Error(),
						`WasmAdmission policy "no-privileged-pods" denied the request`):
						refused.Add(1)
					}
				}
			}
		})
	}
	server := harness.Start(t,
		harness.Options{Dir: directory, FeatureGate: true,
			AdmissionConfig: admissionConfiguration(modules(t), `policies:
- name: no-privileged-pods
  module: MODULES/pod-privileged.wasm`)})
	// Requests wait while the server listens but does not serve yet.
	early := attempts.Load()
	for before := refused.Load(); refused.Load() < before+100; {
		_, err := server.Clientset().CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceDefault,
			metav1.GetOptions{})
		require.NoError(t, err)
	}
	cancel()
	hammers.Wait()
	require.Zero(t, admitted.Load())
	require.Positive(t, early, "some requests must come before the server is ready")
	pods, err := server.Clientset().CoreV1().Pods(metav1.NamespaceAll).
		List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, pods.Items)
}
