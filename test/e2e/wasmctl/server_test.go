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

// Package wasmctl tests the command line against a running cluster.
package wasmctl

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

const policies = "../../policies/"

// server is the server of all tests, tool is the path of wasmctl, and home is the directory for
// wasmctl and the server's policies.
var (
	server     *harness.Server
	tool, home string
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if home, err = os.MkdirTemp("", "wasm-admission-wasmctl-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(home) }()
	tool = filepath.Join(home, "wasmctl")
	if output, err := exec.Command("go", "build", "-o", tool, "../../../cmd/wasmctl").
		CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building wasmctl: %v\n%s", err, output)
		return 1
	}
	if server, err = startServer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the server:", err)
			code = 1
		}
	}()
	return m.Run()
}

// startServer starts a server with a policy that matches nothing that the tests create.
func startServer() (*harness.Server, error) {
	// A server only accepts modules in directories that nobody else can write to.
	binary, err := os.ReadFile(policies + "pod-privileged/policy.wasm")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(home, "pod-privileged.wasm"), binary, 0o600); err != nil {
		return nil, err
	}
	return harness.New(harness.Options{FeatureGate: true, AdmissionConfig: configuration("pods")})
}

// configuration returns a configuration with a policy for a resource.
func configuration(resource string) string {
	return `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policies:
    - name: pod-privileged
      module: file://` + home + `/pod-privileged.wasm
      rules:
      - {apiGroups: [""], apiVersions: [v1], resources: [` + resource + `], operations: [CREATE]}
`
}

// call runs wasmctl. Its environment contains no kubeconfig except through variables.
func call(t *testing.T, variables []string, arguments ...string) harness.Output {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), tool, arguments...)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, variables...)
	err := command.Run()
	if err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return harness.Output{
		Stdout:   stdout.String(),
		Stderr:   stderr.String(),
		ExitCode: command.ProcessState.ExitCode(),
	}
}
