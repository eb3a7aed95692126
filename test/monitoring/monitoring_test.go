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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	deployed  = "../../deploy/monitoring/"
	documents = "../../docs/"
)

// all returns every query of the rules and of the dashboard, and the names of the recording rules.
func all(t *testing.T) (queries []query, recorded []string) {
	t.Helper()
	rules, err := readRules(deployed + "rules.yaml")
	require.NoError(t, err)
	for _, r := range rules {
		if r.Record != "" {
			recorded = append(recorded, r.Record)
		}
		queries = append(queries, r.query())
	}
	d, err := readDashboard(deployed + "dashboard.json")
	require.NoError(t, err)
	for _, p := range d.panels() {
		queries = append(queries, p.queries...)
	}
	require.Greater(t, len(queries), 60)
	return queries, recorded
}

// TestQueriesMatchTheMetrics checks that every metric and label in a query is in the generated
// list, and that a query uses every metric in the list.
func TestQueriesMatchTheMetrics(t *testing.T) {
	metrics, err := readMetrics(documents + "metrics.md")
	require.NoError(t, err)
	require.Greater(t, len(metrics), 30)
	queries, recorded := all(t)
	used := ""
	for _, q := range queries {
		require.Empty(t, q.unknown(metrics, recorded), "%s: %s", q.where, q.expr)
		used += q.expr + "\n"
	}
	for name := range metrics {
		if !strings.Contains(used, name) { // require.Contains would print all queries
			t.Errorf("no rule and no panel of deploy/monitoring shows %s", name)
		}
	}
}

func TestUnknownNamesAreFound(t *testing.T) {
	metrics := map[string]metric{
		"apiserver_wasm_admission_policies":      {kind: "gauge"},
		"apiserver_wasm_admission_loads_total":   {kind: "counter", labels: []string{"result"}},
		"apiserver_wasm_admission_loads_seconds": {kind: "histogram", labels: []string{"step"}},
	}
	for expr, unknown := range map[string][]string{
		`sum(apiserver_wasm_admission_policies)`:                                                               nil,
		`sum by (result) (rate(apiserver_wasm_admission_loads_total{job=~"$job", result="ok"}[5m]))`:           nil,
		`histogram_quantile(0.5, sum by (le, step) (rate(apiserver_wasm_admission_loads_seconds_bucket[5m])))`: nil,
		`sum by (policy) (wasm_admission:known)`:                                                               nil,
		`apiserver_wasm_admission_policys`:                                                                     {"apiserver_wasm_admission_policys"},
		`apiserver_wasm_admission_loads_seconds`:                                                               {"apiserver_wasm_admission_loads_seconds"},
		`apiserver_wasm_admission_loads_total_count`:                                                           {"apiserver_wasm_admission_loads_total_count"},
		`apiserver_wasm_admission_loads_total{step="a"}`:                                                       {"apiserver_wasm_admission_loads_total{step}"},
		`sum by (policy) (apiserver_wasm_admission_loads_total)`:                                               {"by (policy)"},
		`wasm_admission:unknown`:                                                                               {"wasm_admission:unknown"},
	} {
		require.Equal(t, unknown,
			query{expr: expr}.unknown(metrics, []string{"wasm_admission:known"}), expr)
	}
}

// TestTheDashboardCanBeShown checks for faults that Grafana would stumble over: panels with the
// same number or in the same place, and data sources other than the variable.
func TestTheDashboardCanBeShown(t *testing.T) {
	d, err := readDashboard(deployed + "dashboard.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, d.SchemaVersion, 41)
	require.NotEmpty(t, d.Title)
	require.NotEmpty(t, d.UID)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	require.Equal(t, []string{"datasource", "job", "instance"}, variables)
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, places[[2]int{x, y}], p.Title)
				places[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		require.NotEmpty(t, p.Description, p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			require.Contains(t, target.Expr, `{job=~"$job", instance=~"$instance"`, p.Title)
			require.NotContains(t, target.Expr, "[5m]", "use Grafana's interval")
		}
	}
}

// TestAlertsAreComplete checks that every alert tells an operator on call what is needed, has a
// section in the runbook, and has test cases in which it fires and in which it does not.
func TestAlertsAreComplete(t *testing.T) {
	rules, err := readRules(deployed + "rules.yaml")
	require.NoError(t, err)
	runbook, err := os.ReadFile(documents + "runbook.md")
	require.NoError(t, err)
	fires, quiet := cases(t)
	alerts := 0
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		alerts++
		require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.Equal(t,
			"https://github.com/wasm-admission/wasm-admission/blob/main/docs/runbook.md#"+
				strings.ToLower(r.Alert), r.Annotations["runbook_url"])
		_, section, ok := strings.Cut(string(runbook), "\n## "+r.Alert+"\n")
		require.True(t, ok, "docs/runbook.md has no section for %s", r.Alert)
		section, _, _ = strings.Cut(section, "\n## ")
		require.Contains(t, section, "**Means.**", r.Alert)
		require.Regexp(t, `\*\*(Do|Look at, do)\.\*\*`, section, r.Alert)
		require.Positive(t, fires[r.Alert], "rules_test.yaml: no case in which %s fires", r.Alert)
		require.Positive(t, quiet[r.Alert], "rules_test.yaml: no case in which %s does not",
			r.Alert)
	}
	require.Equal(t, strings.Count(string(runbook), "\n## WasmAdmission"), alerts,
		"the runbook has a section for an unknown alert")

	watch, err := os.ReadFile(documents + "admins/watch.md")
	require.NoError(t, err)
	for _, r := range rules {
		if r.Alert != "" {
			require.Contains(t, string(watch), "\n| ["+r.Alert+"](../runbook.md#"+
				strings.ToLower(r.Alert)+") | ", "docs/admins/watch.md")
		}
	}
	require.Equal(t, strings.Count(string(watch), "\n| [WasmAdmission"), alerts,
		"docs/admins/watch.md names an unknown alert")
}

// cases counts the test cases in which each alert fires, and those in which it does not.
func cases(t *testing.T) (fires, quiet map[string]int) {
	t.Helper()
	text, err := os.ReadFile(deployed + "rules_test.yaml")
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	fires, quiet = map[string]int{}, map[string]int{}
	for _, test := range file.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) > 0 {
				fires[alert.Name]++
			} else {
				quiet[alert.Name]++
			}
		}
	}
	return fires, quiet
}

// TestRules runs the tests of the rules with promtool.
func TestRules(t *testing.T) {
	promtool, err := program("promtool")
	if err != nil {
		t.Skip("promtool is missing: run make prometheus")
	}
	for _, arguments := range [][]string{{"check", "rules", "rules.yaml"},
		{"test", "rules", "rules_test.yaml"}} {
		command := exec.CommandContext(t.Context(), promtool, arguments...)
		command.Dir = deployed
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
	}
}

// program returns the path of a program from Debian's package prometheus: the one that make
// prometheus unpacked, or else the one on PATH.
func program(name string) (string, error) {
	unpacked, err := filepath.Abs("../../.cache/prometheus/usr/bin/" + name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(unpacked); err == nil {
		return unpacked, nil
	}
	return exec.LookPath(name)
}
