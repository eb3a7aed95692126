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

package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

var shell = flag.String("shell", "engine",
	"where the attacks run: on the engine in this process (engine), or on a webhook server (webhook)")

// corpus has all attacks, by the directory of their modules.
var corpus = map[string]map[string]outcome{"hostile": attacks, "hostile-programs": programs}

// modes are the execution modes of the modules in each directory.
var modes = map[string]abi.ExecutionMode{
	"hostile":          abi.ExecutionModeWaPC,
	"hostile-programs": abi.ExecutionModeWASI,
}

// unsettling are the modules that already attack when they validate their settings. No server loads
// them. The tests of the engine do not validate settings.
var unsettling = []string{
	"hostile-export-no-result", "hostile-export-wrong-type", "hostile-memory-none",
	"hostile-memory-none-wasi", "hostile-programs-spin-before-read",
}

// annotated returns a module with the metadata that every policy must have to be loaded.
func annotated(wasm []byte, mode abi.ExecutionMode) []byte {
	metadata :=
		fmt.Sprintf(
			`{"rules":[{"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"],"operations":["CREATE"]}],"mutating":false,"protocolVersion":"v1","executionMode":%q}`,
			mode)
	payload := slices.Concat(leb(len(abi.MetadataSection)), []byte(abi.MetadataSection),
		[]byte(metadata))
	return slices.Concat(wasm, []byte{customSection}, leb(len(payload)), payload)
}

// TestBehindAWebhook runs the attacks on bin/wasm-admission-webhook, to which it sends reviews as
// an apiserver would. Every review is long enough for the guests to attack. The server does not
// report how much memory a guest keeps, so only the tests of the engine check that.
func TestBehindAWebhook(t *testing.T) {
	if *shell != "webhook" {
		t.Skip("takes minutes and two servers: run make hostile-webhook")
	}
	cluster := harness.Start(t, harness.Options{})
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	loaded, rejected := map[string]outcome{}, map[string]outcome{}
	for from, outcomes := range corpus {
		for name, o := range outcomes {
			wasm, err := os.ReadFile(filepath.Join(modules, from, name+".wasm"))
			require.NoError(t, err)
			name = from + "-" + name
			require.NoError(t,
				os.WriteFile(filepath.Join(directory, name+".wasm"), annotated(wasm, modes[from]),
					0o600))
			if slices.Contains(unsettling, name) {
				o.refused = o.text
			}
			if o.refused != "" {
				rejected[name] = o
			} else {
				loaded[name] = o
			}
		}
	}
	wasm, err := os.ReadFile(filepath.Join(modules, "accept.wasm"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(directory, "bystander.wasm"), wasm, 0o600))
	var counted struct{ refused, evaluated int }
	t.Run("refused", func(t *testing.T) {
		w, err := cluster.NewWebhook(t.TempDir(), configuration(t, directory, rejected),
			"--write-webhook-configurations=false")
		if err == nil {
			require.NoError(t, w.Stop())
			t.Fatal("the server started in spite of refused modules")
		}
		for name, o := range rejected {
			if problem := line(err.Error(), name, o.refused); problem != nil {
				t.Error(problem)
				continue
			}
			counted.refused++
		}
	})
	t.Run("evaluated", func(t *testing.T) {
		loaded["bystander"] = harmless()
		w := cluster.StartWebhook(t, configuration(t, directory, loaded),
			"--write-webhook-configurations=false")
		client := newClient(t, w)
		for name, o := range loaded {
			t.Run(name, func(t *testing.T) {
				for range 2 {
					client.attack(t, name, o)
					client.attack(t, "bystander", harmless())
				}
				counted.evaluated++
			})
		}
		status, text, err := w.Get(t.Context(), "/readyz")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, text)
	})
	fmt.Printf(
		"figure hostile_webhook_refused %d modules\nfigure hostile_webhook_evaluated %d modules\nfigure hostile_webhook_failed %d modules\n",
		counted.refused, counted.evaluated,
		len(loaded)+len(rejected)-counted.refused-counted.evaluated)
}

// line returns an error unless a line of the text contains both name and part, verbatim or quoted.
func line(text, name, part string) error {
	quoted := strings.Trim(strconv.Quote(part), "\"")
	for line := range strings.Lines(text) {
		if strings.Contains(line, name) &&
			(strings.Contains(line, part) || strings.Contains(line, quoted)) {
			return nil
		}
	}
	return fmt.Errorf("%s: no line has %q", name, part)
}

// configuration returns a configuration with a policy for each module. Attacks that only the
// deadline can stop have the shortest deadline that is allowed.
func configuration(t *testing.T, directory string, outcomes map[string]outcome) string {
	t.Helper()
	var policies []any
	for name, o := range outcomes {
		timeout := 30
		if o.cause == engine.CauseDeadline {
			timeout = 1
		}
		policies = append(policies, map[string]any{
			"name": name, "module": "file://" + filepath.Join(directory, name+".wasm"),
			"timeoutEvalSeconds": timeout,
			"rules": []any{
				map[string]any{
					"apiGroups":   []string{""},
					"apiVersions": []string{"v1"},
					"resources":   []string{"configmaps"},
					"operations":  []string{"CREATE"},
				},
			},
		})
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"policies":       policies,
		"limits":         map[string]any{"requestTimeout": "30s"},
		"circuitBreaker": map[string]any{"failures": 0},
	})
	require.NoError(t, err)
	return string(text)
}

// client sends reviews to a webhook server as an apiserver does.
type client struct {
	*http.Client
	server *harness.Webhook
}

func newClient(t *testing.T, w *harness.Webhook) *client {
	t.Helper()
	certificate, err := w.Certificate()
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{Transport: transport}, w}
}

// attack sends a review to a policy, and checks the outcome.
func (c *client) attack(t *testing.T, policy string, want outcome) {
	t.Helper()
	response := c.send(t.Context(), t, policy)
	if want.text == "" {
		require.True(t, response.Allowed, "%s: %v", policy, response.Result)
		return
	}
	require.False(t, response.Allowed, policy)
	require.NotNil(t, response.Result)
	require.Equal(t, int32(http.StatusInternalServerError), response.Result.Code,
		response.Result.Message)
	require.NotContains(t, response.Result.Message, "panic")
	var said struct {
		Policies []struct{ Verdict, Cause string }
	}
	require.NoError(t,
		json.Unmarshal([]byte(response.AuditAnnotations["wasm-admission.validate"]), &said))
	require.Len(t, said.Policies, 1)
	require.Equal(t, "failed", said.Policies[0].Verdict)
	// Servers also bound fuel, and some attacks run out of fuel before their deadline.
	if want.cause == engine.CauseDeadline && said.Policies[0].Cause == string(engine.CauseFuel) {
		return
	}
	if want.cause != "" {
		require.Equal(t, string(want.cause), said.Policies[0].Cause)
	}
	require.NoError(t, line(c.server.Logs(), policy, want.text))
}

func (c *client) send(ctx context.Context, t *testing.T,
	policy string) *admissionv1.AdmissionResponse {
	t.Helper()
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"","version":"v1","kind":"ConfigMap"},` +
		`"resource":{"group":"","version":"v1","resource":"configmaps"},"name":"c","namespace":"default","operation":"CREATE","userInfo":{"username":"alice"},` +
		`"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"default"}},"oldObject":null,"options":null}}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.server.Address+
		"/validate/"+policy+"?timeout=30s", bytes.NewReader([]byte(review)))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(text))
	var got admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(text, &got))
	require.NotNil(t, got.Response)
	return got.Response
}
