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

// Package e2e tests this repository's kube-apiserver from the outside, with the binary from `make
// build`, its embedded etcd, kubectl and client-go.
package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// plain is a server without policies and with the gate off. Tests that only read share it.
var plain *harness.Server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	directory, err := os.MkdirTemp("", "wasm-admission-e2e-modules-")
	if err == nil {
		defer func() { _ = os.RemoveAll(directory) }()
		err = copyModules(directory)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, shared := range []struct {
		name    string
		server  **harness.Server
		options harness.Options
	}{
		{"plain", &plain, harness.Options{}},
		{"enforcing", &enforcing, harness.Options{
			FeatureGate:     true,
			AuditPolicy:     auditWrites,
			AdmissionConfig: admissionConfiguration(directory, enforced+mutators+languages),
		}},
	} {
		server, err := harness.New(shared.options)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		*shared.server = server
		defer func() {
			logs := server.Logs()
			if err := server.Stop(); err != nil {
				fmt.Fprintf(os.Stderr, "stopping the %s server: %v\n", shared.name, err)
				code = 1
			}
			if code != 0 {
				fmt.Fprintf(os.Stderr, "log of the %s server:\n%s\n", shared.name, logs)
			}
		}()
	}
	return m.Run()
}

func TestGateOffAndNoPolicies(t *testing.T) {
	pods := plain.Clientset().CoreV1().Pods(metav1.NamespaceDefault)
	created, err := pods.Create(t.Context(), privilegedPod("gate-off"), metav1.CreateOptions{})
	require.NoError(t, err, "with the gate off, a privileged Pod must be admitted")
	require.True(t, *created.Spec.Containers[0].SecurityContext.Privileged)
}

func TestGateIsVisible(t *testing.T) {
	help, err := harness.Execute(t.Context(), "--help")
	require.NoError(t, err)
	require.Zero(t, help.ExitCode, help.Stderr)
	require.Contains(t, help.Stdout, "WasmAdmission=true|false (ALPHA - default=false)")

	for name, test := range map[string]struct {
		server *harness.Server
		value  string
	}{
		"off": {plain, "0"},
		"on":  {harness.Start(t, harness.Options{FeatureGate: true}), "1"},
	} {
		t.Run(name, func(t *testing.T) {
			metrics, err := test.server.Metrics(t.Context())
			require.NoError(t, err)
			require.Contains(t, metrics,
				`kubernetes_feature_enabled{name="WasmAdmission",stage="ALPHA"} `+test.value+"\n")
		})
	}
}

// The reference contains every metric that a server with policies serves.
func TestMetricsReferenceIsComplete(t *testing.T) {
	metrics, err := enforcing.Metrics(t.Context())
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	served := regexp.MustCompile(`(?m)^# TYPE (apiserver_wasm_admission_\S+) `).
		FindAllStringSubmatch(metrics, -1)
	require.NotEmpty(t, served)
	for _, metric := range served {
		require.Contains(t, string(page), "\n| `"+metric[1]+"` | ")
	}
}

func TestPluginIsOnByDefault(t *testing.T) {
	help, err := harness.Execute(t.Context(), "--help")
	require.NoError(t, err)
	defaults, _, found :=
		strings.Cut(help.Stdout[strings.Index(help.Stdout, "--enable-admission-plugins"):], "). ")
	require.True(t, found)
	require.Regexp(t, `WasmAdmission,\s+MutatingAdmissionPolicy`, defaults,
		"the plugin must come just before MutatingAdmissionPolicy")
}

func TestGateIsUnknownToEarlierVersions(t *testing.T) {
	code, stderr := harness.StartExpectingFailure(t, harness.Options{
		FeatureGate: true,
		Args:        []string{"--emulated-version=1.36"},
	})
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "WasmAdmission")
	require.Contains(t, stderr, "1.36")
}

func TestVersion(t *testing.T) {
	kubectl, err := plain.Kubectl(t.Context(), "version", "--output=json")
	require.NoError(t, err)
	require.Zero(t, kubectl.ExitCode, kubectl.Stderr)
	var versions struct {
		ServerVersion version.Info `json:"serverVersion"`
	}
	require.NoError(t, json.Unmarshal([]byte(kubectl.Stdout), &versions))
	server := versions.ServerVersion
	require.Equal(t, "v1.37.2+wasm-admission", server.GitVersion)
	require.Equal(t, "1", server.Major)
	require.Equal(t, "37", server.Minor)
	require.Regexp(t, `^[0-9a-f]{40}$`, server.GitCommit)
	require.Contains(t, []string{"clean", "dirty"}, server.GitTreeState)
	require.Regexp(t, `^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, server.BuildDate)
}

func TestReadyzNamesThePlugin(t *testing.T) {
	status, body, err := plain.Get(t.Context(), "/readyz?verbose")
	require.NoError(t, err)
	require.Equal(t, 200, status, body)
	require.Contains(t, body, "[+]wasm-admission ok\n")
}

// privilegedPod returns a Pod with a privileged container.
func privilegedPod(name string) *corev1.Pod {
	privileged := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name:            "c",
			Image:           "example.com/image:1",
			SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		}}},
	}
}
