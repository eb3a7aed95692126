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

package linting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/kubeconfig"
)

// The paths and metrics in which a server reports its policies.
const (
	metricsPath   = "/metrics"
	readyzPath    = "/readyz/wasm-admission-policies"
	setMetric     = "apiserver_wasm_admission_policy_set_info"
	stateRunning  = "running"
	stateDesired  = "desired"
	maxAnswer     = 64 << 20
	maxReadyzText = 1 << 20
)

// Server is a running server's report of its policies, compared with this one. The server reports
// hashes but no names, so it is unknown which policies differ.
type Server struct {
	// URL is the address that was asked. If several servers are behind it, one of them answered.
	URL string `json:"url"`
	// Running is the hash of the set that the server serves. Desired is the hash of the set in its
	// files.
	Running string `json:"running"`
	Desired string `json:"desired"`
	// Problem says why the two differ. It is "" if they are equal.
	Problem string `json:"problem,omitempty"`
	// Same reports whether the server already serves this report's set. It is false if there is no
	// such set.
	Same bool `json:"same"`
}

// Against asks the server in the current context of a kubeconfig, and adds the comparison to the
// report.
func (r *Report) Against(ctx context.Context, path string) error {
	config, err := kubeconfig.Load(path)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, server, err := kubeconfig.Client(config)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	s := &Server{URL: server}
	metrics, status, err := get(ctx, client, kubeconfig.URL(s.URL, metricsPath), maxAnswer)
	switch {
	case err != nil:
		return fmt.Errorf("asking %s: %w", s.URL, err)
	case status != http.StatusOK:
		return fmt.Errorf(
			"asking %s: %s answered %d: the user of the kubeconfig needs to be allowed to get it",
			s.URL, metricsPath, status)
	}
	if err := s.read(metrics); err != nil {
		return fmt.Errorf("asking %s: %w", s.URL, err)
	}
	if s.Problem, err = problem(ctx, client, kubeconfig.URL(s.URL, readyzPath)); err != nil {
		return fmt.Errorf("asking %s: %w", s.URL, err)
	}
	s.Same = r.Hash != "" && r.Hash == s.Running
	r.Server = s
	return nil
}

// problem returns the reason why a server does not serve its desired set, or "" if it does.
func problem(ctx context.Context, client *http.Client, url string) (string, error) {
	text, status, err := get(ctx, client, url, maxReadyzText)
	switch {
	case err != nil:
		return "", err
	case status == http.StatusOK:
		return "", nil
	case status == http.StatusInternalServerError:
		return strings.TrimSpace(text), nil
	}
	return "", fmt.Errorf(
		"%s answered %d: the user of the kubeconfig needs to be allowed to get it",
		readyzPath, status)
}

func get(ctx context.Context, client *http.Client, url string,
	most int64) (text string, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err == nil && int64(len(body)) > most {
		return "", 0, fmt.Errorf(
			"the answer has more than %d bytes, which is more than is read", most)
	}
	return string(body), response.StatusCode, err
}

// read finds the hashes in a server's metrics.
func (s *Server) read(metrics string) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(metrics))
	if err != nil {
		return fmt.Errorf("its metrics cannot be read: %w", err)
	}
	family := families[setMetric]
	if family == nil {
		return errors.New("it has no metric " + setMetric +
			": it was built without WasmAdmission, or the feature gate is off")
	}
	for _, sample := range family.GetMetric() {
		switch label(sample, "state") {
		case stateRunning:
			s.Running = label(sample, "hash")
		case stateDesired:
			s.Desired = label(sample, "hash")
		}
	}
	return nil
}

func label(sample *dto.Metric, name string) string {
	for _, pair := range sample.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
