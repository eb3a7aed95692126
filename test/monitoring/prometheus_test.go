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

package monitoring

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// prometheus is a running Prometheus with the rules in deploy/monitoring.
type prometheus struct{ address string }

// startPrometheus starts a Prometheus that scrapes a server every second until the test ends.
func startPrometheus(t *testing.T, target *rest.Config) *prometheus {
	t.Helper()
	binary, err := program("prometheus")
	if err != nil {
		t.Skip("prometheus is missing: run make prometheus, or apt-get install prometheus")
	}
	directory := t.TempDir()
	rules, err := filepath.Abs(deployed + "rules.yaml")
	require.NoError(t, err)
	config, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files":     []string{rules},
		"scrape_configs": []any{scrapeConfig(t, target, directory)},
	})
	require.NoError(t, err)
	file := filepath.Join(directory, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, config, 0o600))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &prometheus{address: listener.Addr().String()}
	require.NoError(t, listener.Close())
	log, err := os.Create(filepath.Join(directory, "log"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), binary, "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(directory, "data"), "--web.listen-address="+p.address)
	command.Stdout, command.Stderr = log, log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = log.Close()
	})
	require.Eventually(t, func() bool {
		series, err := p.query(`up == 1`, time.Now(), time.Now())
		return err == nil && len(series) == 1
	}, time.Minute, 200*time.Millisecond, "Prometheus must scrape the server")
	return p
}

// scrapeConfig returns a configuration that scrapes the server as its administrator.
func scrapeConfig(t *testing.T, target *rest.Config, directory string) map[string]any {
	t.Helper()
	require.NoError(t, rest.LoadTLSFiles(target))
	tls := map[string]any{}
	for name, content := range map[string][]byte{
		"ca_file":   target.CAData,
		"cert_file": target.CertData,
		"key_file":  target.KeyData,
	} {
		if len(content) > 0 {
			tls[name] = filepath.Join(directory, name)
			require.NoError(t, os.WriteFile(filepath.Join(directory, name), content, 0o600))
		}
	}
	server, err := url.Parse(target.Host)
	require.NoError(t, err)
	config := map[string]any{
		"job_name":       "apiserver",
		"scheme":         server.Scheme,
		"tls_config":     tls,
		"static_configs": []any{map[string]any{"targets": []string{server.Host}}},
	}
	if target.BearerToken != "" {
		config["authorization"] = map[string]any{"credentials": target.BearerToken}
	}
	return config
}

// sample is a value at a time.
type sample struct {
	at    time.Time
	value float64
}

// series are the samples of a metric, or of a query's result.
type series struct {
	labels  map[string]string
	samples []sample
}

// get reads a response of Prometheus' API.
func (p *prometheus) get(path string, parameters url.Values, into any) (err error) {
	response, err := http.Get("http://" + p.address + path + "?" + parameters.Encode()) //nolint:noctx // the server is local, and stops with the test
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: status %d: %w", path, response.StatusCode, err)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// query runs a query for every second between two times. It leaves out series without a number.
func (p *prometheus) query(expr string, from, to time.Time) (found []series, err error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	parameters := url.Values{
		"query": {expr},
		"start": {from.Format(time.RFC3339Nano)},
		"end":   {to.Format(time.RFC3339Nano)},
		"step":  {"1"},
	}
	if err := p.get("/api/v1/query_range", parameters, &data); err != nil {
		return nil, err
	}
	for _, result := range data.Result {
		s := series{labels: result.Metric}
		for _, v := range result.Values {
			seconds, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, err
			}
			if !math.IsNaN(value) && !math.IsInf(value, 0) {
				s.samples = append(s.samples,
					sample{at: time.UnixMilli(int64(seconds * 1000)), value: value})
			}
		}
		if len(s.samples) > 0 {
			found = append(found, s)
		}
	}
	return found, nil
}

// unhealthy returns the rules that Prometheus could not evaluate, and the number of all rules.
func (p *prometheus) unhealthy() (unhealthy []string, rules int, err error) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, 0, err
	}
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			rules++
			if r.Health != "ok" {
				unhealthy = append(unhealthy, r.Name+": "+r.Health+": "+r.LastError)
			}
		}
	}
	return unhealthy, rules, nil
}

// filled returns a panel's query with Grafana's variables set to select all servers.
func (q query) filled() string {
	return strings.NewReplacer("$__rate_interval", "15s", "$job", ".*", "$instance", ".*").
		Replace(q.expr)
}
