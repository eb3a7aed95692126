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
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTop makes the server evaluate and deny requests, and checks the output of top, both with a
// kubeconfig and with saved metrics.
func TestTop(t *testing.T) {
	create := func(privileged bool) error {
		_, err := server.Clientset().CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "c", Image: "i",
					SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
				}},
			},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	require.NoError(t, create(false))
	for range 2 {
		require.ErrorContains(t, create(true), "pod-privileged")
	}
	metrics, err := server.Metrics(t.Context())
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "metrics")
	require.NoError(t, os.WriteFile(file, []byte(metrics), 0o600))

	for _, from := range [][]string{{"--kubeconfig", server.Kubeconfig()}, {file}} {
		got := call(t, nil, append([]string{"top", "--once", "--sort", "denials"}, from...)...)
		require.Zero(t, got.ExitCode, got.Stderr)
		require.Empty(t, got.Stderr)
		require.Regexp(t,
			`^POLICY +EVALS +DENIED +FAILED +CHANGED +TIME +FUEL +TIME/EVAL +FUEL/EVAL +BREAKER\npod-privileged +3 +2 +0 +0 +[\d.]+[mµ]s +[\d.]+k? +[\d.]+[mµ]s +[\d.]+k? +closed\n$`,
			got.Stdout)
	}

	nobody := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := os.ReadFile(server.Kubeconfig())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(nobody, impersonating(t, text, "nobody"), 0o600))
	got := call(t, nil, "top", "--once", "--kubeconfig", nobody)
	require.Equal(t, 1, got.ExitCode)
	require.Contains(t, got.Stderr, "it answered 403: the user must be allowed to get /metrics")
}
