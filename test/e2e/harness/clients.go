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

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// RESTConfig returns a copy of the administrator's client configuration, without rate limits.
func (s *Server) RESTConfig() *rest.Config { return rest.CopyConfig(s.config) }

// Clientset returns a new typed client for the administrator.
func (s *Server) Clientset() *kubernetes.Clientset {
	return kubernetes.NewForConfigOrDie(s.RESTConfig())
}

// Dynamic returns a new dynamic client for the administrator.
func (s *Server) Dynamic() *dynamic.DynamicClient {
	return dynamic.NewForConfigOrDie(s.RESTConfig())
}

// Get sends GET path, which may contain a query, and returns the status code and the body. The
// error is only for the transport: a response with any status is not an error.
func (s *Server) Get(ctx context.Context, path string) (status int, body string, err error) {
	result := s.Clientset().RESTClient().Get().RequestURI(path).Do(ctx)
	result.StatusCode(&status)
	raw, err := result.Raw()
	if status != 0 {
		err = nil
	}
	return status, string(raw), err
}

// Metrics returns the server's metrics in the text format of Prometheus.
func (s *Server) Metrics(ctx context.Context) (string, error) {
	status, body, err := s.Get(ctx, "/metrics")
	if err == nil && status != 200 {
		err = fmt.Errorf("GET /metrics: status %d: %s", status, body)
	}
	return body, err
}

// Output holds the output and the exit code of a command.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
}

// Kubectl runs kubectl as the administrator. A nonzero exit code is not an error, but part of the
// output.
func (s *Server) Kubectl(ctx context.Context, args ...string) (Output, error) {
	binary, err := kubectlBinary()
	if err != nil {
		return Output{}, err
	}
	return execute(ctx, binary,
		append([]string{"--kubeconfig=" + s.kubeconfig, "--cache-dir=" + s.dir + "/kubectl-cache"},
			args...)...)
}

// Execute runs the kube-apiserver binary with args until it exits.
func Execute(ctx context.Context, args ...string) (Output, error) {
	binary, err := ServerBinary()
	if err != nil {
		return Output{}, err
	}
	return execute(ctx, binary, args...)
}

func execute(ctx context.Context, binary string, args ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	return Output{
		Stdout:   stdout.String(),
		Stderr:   stderr.String(),
		ExitCode: cmd.ProcessState.ExitCode(),
	}, err
}
