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
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func TestDevHelp(t *testing.T) {
	help, err := harness.Execute(t.Context(), "dev", "--help")
	require.NoError(t, err)
	require.Zero(t, help.ExitCode, help.Stderr)
	for _, text := range []string{"KUBECONFIG=", "--dir", "--port", "-- flags of kube-apiserver"} {
		require.Contains(t, help.Stdout, text)
	}
}

func TestDevRefusesServerFlagsBeforeTheDashes(t *testing.T) {
	for name, args := range map[string][]string{
		"flag":     {"dev", "--feature-gates=WasmAdmission=true"},
		"argument": {"dev", "serve", "--", "--v=2"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := harness.Execute(t.Context(), args...)
			require.NoError(t, err)
			require.Equal(t, 1, out.ExitCode)
			require.Contains(t, out.Stderr, "Error: ")
			require.Empty(t, out.Stdout)
		})
	}
}

func TestDevRefusesADirectoryInUse(t *testing.T) {
	code, stderr := harness.StartExpectingFailure(t, harness.Options{Dir: plain.Dir()})
	require.Equal(t, 1, code)
	require.Contains(t, stderr, plain.Dir()+": another server uses it")
}

func TestDevKeepsItsSecrets(t *testing.T) {
	for _, name := range []string{"kubeconfig", "pki/serving.key", "pki/service-accounts.key"} {
		info, err := os.Stat(filepath.Join(plain.Dir(), name))
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s is %s", name, info.Mode())
	}
}

func TestDevRestart(t *testing.T) {
	for name, stop := range map[string]func(*harness.Server){
		"after SIGTERM": func(s *harness.Server) { require.NoError(t, s.Stop()) },
		"after SIGKILL": (*harness.Server).Kill9,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := harness.Start(t, harness.Options{Dir: dir})
			want, err := first.Clientset().CoreV1().ConfigMaps(metav1.NamespaceDefault).
				Create(t.Context(), &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: "kept"},
					Data:       map[string]string{"key": "value"},
				}, metav1.CreateOptions{})
			require.NoError(t, err)
			stop(first)

			second := harness.Start(t, harness.Options{Dir: dir})
			got, err := second.Clientset().CoreV1().ConfigMaps(metav1.NamespaceDefault).
				Get(t.Context(), "kept", metav1.GetOptions{})
			require.NoError(t, err)
			require.Equal(t, want.UID, got.UID)
			require.Equal(t, want.Data, got.Data)
		})
	}
}

func TestDevInALongDirectory(t *testing.T) {
	// The directory is too long for the path of a Unix socket.
	dir := filepath.Join(t.TempDir(),
		"a-directory-whose-name-is-as-long-as-that-of-many-a-directory-of-a-test-that-wants-to-be-understood")
	server := harness.Start(t, harness.Options{Dir: dir})
	_, err := server.Clientset().CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceDefault,
		metav1.GetOptions{})
	require.NoError(t, err)
}

// TestDevLeavesNothingBehind stops dev with one signal and with two.
func TestDevLeavesNothingBehind(t *testing.T) {
	for name, signals := range map[string][]syscall.Signal{
		"one signal":  {syscall.SIGTERM},
		"two signals": {syscall.SIGINT, syscall.SIGTERM}, // two equal signals may arrive as one
	} {
		t.Run(name, func(t *testing.T) {
			binary, err := harness.ServerBinary()
			require.NoError(t, err)
			temporary := t.TempDir()
			cmd := exec.Command(binary, "dev")
			cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			_, err = bufio.NewReader(stdout).ReadString('\n') // the server is ready
			require.NoError(t, err)
			for _, signal := range signals {
				require.NoError(t, cmd.Process.Signal(signal))
			}
			err = cmd.Wait()
			require.Equal(t, len(signals) == 1, err == nil, err)
			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
