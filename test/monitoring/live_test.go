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
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

var (
	live = flag.Bool("live", false, "run all queries against a server under load, which takes minutes")
	draw = flag.Bool("draw", false, "draw the panels for docs/monitoring.md")
)

// quiet are the alerts that the load does not trigger, with the reason. Every other alert must
// fire.
var quiet = map[string]string{
	"WasmAdmissionNotEnforcing":         "the server has policies all the time",
	"WasmAdmissionNotEnforcingOnServer": "there is only one server, and it enforces policies",
	"WasmAdmissionLastGoodNotSaved":     "the disk works",
	"WasmAdmissionSkew":                 "there is one server",
	"WasmAdmissionServersDiffer":        "there is one server",
	"WasmAdmissionServerUnknown":        "the server renews its Lease",
	"WasmAdmissionMappingsRunOut":       "it would take tens of thousands of instances",
	"WasmAdmissionInterpreted":          "this machine compiles",
	"WasmAdmissionCompilerKilled":       "all modules compile",
	"WasmAdmissionOldTrustRoot":         "the root may have been downloaded just now",
}

// TestLive lets a Prometheus scrape a server, and makes everything happen to the server that a
// metric records. Then it runs every query of the rules and of the dashboard. No query may fail,
// and none may return nothing or only zeros.
func TestLive(t *testing.T) {
	if !*live {
		t.Skip("takes minutes: run make check-dashboard")
	}
	if _, err := program("prometheus"); err != nil {
		t.Skip("prometheus is missing: run make prometheus, or apt-get install prometheus")
	}
	l := newLoad(t)
	p := startPrometheus(t, l.server.RESTConfig())
	from := time.Now()
	l.run(t)
	to := time.Now()
	if *draw {
		l.keepMetrics(t)
	}

	d, err := readDashboard(deployed + "dashboard.json")
	require.NoError(t, err)
	queries, failed, empty := 0, 0, 0
	ask := func(q query, mayBeEmpty bool) []series {
		queries++
		found, err := p.query(q.filled(), from, to)
		switch {
		case err != nil:
			failed++
			assert.Fail(t, err.Error(), "%s: %s", q.where, q.expr)
		case !shows(found) && !mayBeEmpty:
			empty++
			assert.Fail(t, "nothing to show", "%s: %s", q.where, q.expr)
		}
		return found
	}
	var charts []chart
	for _, panel := range d.panels() {
		c := chart{panel: panel}
		for _, q := range panel.queries {
			c.lines = append(c.lines, linesOf(q, ask(q, false), from)...)
		}
		charts = append(charts, c)
	}
	rules, err := readRules(deployed + "rules.yaml")
	require.NoError(t, err)
	seen := 0
	for _, r := range rules {
		found := ask(r.query(), quiet[r.Alert] != "")
		if r.Alert != "" && len(found) > 0 {
			seen++
		}
	}
	unhealthy, evaluated, err := p.unhealthy()
	require.NoError(t, err)
	require.Empty(t, unhealthy)
	require.Equal(t, len(rules), evaluated)

	figure.Print("dashboard_queries", float64(queries), "queries")
	figure.Print("dashboard_queries_failed", float64(failed), "queries")
	figure.Print("dashboard_queries_empty", float64(empty), "queries")
	figure.Print("dashboard_alerts_seen", float64(seen), "alerts")
	if *draw && !t.Failed() {
		writeCharts(t, charts, to.Sub(from))
	}
}

// shows reports whether there is a number other than zero.
func shows(found []series) bool {
	for _, s := range found {
		for _, sample := range s.samples {
			if sample.value != 0 {
				return true
			}
		}
	}
	return false
}

// writeCharts draws each row of the dashboard into a file.
func writeCharts(t *testing.T, charts []chart, length time.Duration) {
	t.Helper()
	directory := filepath.Join(documents, "images")
	require.NoError(t, os.MkdirAll(directory, 0o755))
	var row []chart
	for n, c := range charts {
		if row = append(row, c); n+1 < len(charts) && charts[n+1].panel.row == c.panel.row {
			continue
		}
		file := filepath.Join(directory, "dashboard-"+fileName(c.panel.row)+".svg")
		require.NoError(t, os.WriteFile(file, []byte(drawCharts(row, length)), 0o600))
		require.NoError(t, os.Chmod(file, 0o644))
		row = nil
	}
}
