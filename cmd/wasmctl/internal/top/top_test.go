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

package top_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/top"
)

// captured holds the WasmAdmission metrics of a real server after a minute under load.
const captured = "testdata/metrics.txt"

func snapshot(t *testing.T, text string) *top.Snapshot {
	t.Helper()
	s, err := top.Read(strings.NewReader(text))
	require.NoError(t, err)
	return s
}

// metrics returns the metrics of a server with the given start time and number of evaluations.
func metrics(started, count int) string {
	return fmt.Sprintf(`# HELP apiserver_request_total Not ours.
apiserver_request_total{code="200"} 1
# TYPE process_start_time_seconds gauge
process_start_time_seconds %d
# TYPE apiserver_wasm_admission_policies gauge
apiserver_wasm_admission_policies 2
# TYPE apiserver_wasm_admission_open_circuit_breakers gauge
apiserver_wasm_admission_open_circuit_breakers{policy="b"} 1
apiserver_wasm_admission_open_circuit_breakers{policy="a"} 0
# TYPE apiserver_wasm_admission_evaluation_duration_seconds histogram
apiserver_wasm_admission_evaluation_duration_seconds_bucket{policy="a",outcome="accepted",le="+Inf"} %[2]d
apiserver_wasm_admission_evaluation_duration_seconds_sum{policy="a",outcome="accepted"} %[3]g
apiserver_wasm_admission_evaluation_duration_seconds_count{policy="a",outcome="accepted"} %[2]d
apiserver_wasm_admission_evaluation_duration_seconds_sum{policy="a",outcome="denied"} %[3]g
apiserver_wasm_admission_evaluation_duration_seconds_count{policy="a",outcome="denied"} %[2]d
apiserver_wasm_admission_evaluation_duration_seconds_sum{policy="a",outcome="failed_open"} 0
apiserver_wasm_admission_evaluation_duration_seconds_count{policy="a",outcome="failed_open"} 3
# TYPE apiserver_wasm_admission_policy_fuel_total counter
apiserver_wasm_admission_policy_fuel_total{policy="a"} %[4]d
# TYPE apiserver_wasm_admission_mutations_total counter
apiserver_wasm_admission_mutations_total{policy="a",operation="CREATE"} 1
apiserver_wasm_admission_mutations_total{policy="a",operation="UPDATE"} 2
`, started, count, float64(count)/1024, count*1000)
}

func TestRows(t *testing.T) {
	first, second := snapshot(t, metrics(1, 10)), snapshot(t, metrics(1, 30))
	require.Equal(t, 2, second.Served)

	rows, ok := second.Rows(nil, 0)
	require.True(t, ok)
	require.Equal(t, []top.Row{
		{
			Policy: "a", Counts: top.Counts{
				Evaluations: 63,
				Denied:      30,
				Failed:      3,
				Changed:     3,
				Seconds:     60.0 / 1024,
				Fuel:        30000,
			},
		},
		{Policy: "b", Open: true},
	}, rows)

	rows, ok = second.Rows(first, 2)
	require.True(t, ok)
	require.Equal(t,
		[]top.Row{{
			Policy: "a",
			Counts: top.Counts{Evaluations: 20, Denied: 10, Seconds: 20.0 / 1024, Fuel: 10000},
		}, {Policy: "b", Open: true}}, rows)

	_, ok = snapshot(t, metrics(2, 1)).Rows(first, 2)
	require.False(t, ok, "it started anew")
	_, ok = second.Rows(first, 0)
	require.False(t, ok, "no time is between")
}

func TestOrders(t *testing.T) {
	rows := []top.Row{
		{Policy: "a", Counts: top.Counts{Seconds: 1, Fuel: 2}},
		{Policy: "b", Counts: top.Counts{Seconds: 2, Denied: 2, Evaluations: 2}},
		{Policy: "c", Counts: top.Counts{Failed: 1, Evaluations: 1}},
	}
	keys := map[byte]bool{'q': true}
	for _, order := range top.Orders {
		order.Sort(rows)
		var names string
		for _, r := range rows {
			names += r.Policy
		}
		require.Equal(t, map[top.Order]string{
			top.ByTime: "bac", top.ByFuel: "abc", top.ByDenials: "bac", top.ByFailures: "cab",
			top.ByEvaluations: "bca", top.ByName: "abc",
		}[order], names, order)
		require.False(t, keys[order.Key()], "a key is of one order only")
		keys[order.Key()] = true
	}
}

func TestTable(t *testing.T) {
	require.Equal(t, []string{
		"POLICY   EVALS  DENIED  FAILED  CHANGED  TIME    FUEL  TIME/EVAL  FUEL/EVAL  BREAKER",
		"a        12.3k  2       0       0.5      1.5s    3.0G  121.51µs   243.0k     closed",
		"b�[2J��  0      0       0       0        1.05ms  0     0          0          open",
	}, top.Table([]top.Row{
		{
			Policy: "a", Counts: top.Counts{
				Evaluations: 12345,
				Denied:      2,
				Changed:     0.5,
				Seconds:     1.5,
				Fuel:        3e9,
			},
		},
		{Policy: "b\x1b[2J\n\t", Counts: top.Counts{Seconds: 0.00105}, Open: true},
	}, false))
	require.Contains(t, top.Table(nil, true)[0], "TIME/S")
}

// TestRealMetrics reads the metrics of a real server.
func TestRealMetrics(t *testing.T) {
	source, err := top.NewSource(captured, "")
	require.NoError(t, err)
	lines, err := top.Once(t.Context(), source, top.ByDenials)
	require.NoError(t, err)
	require.Regexp(t, `^no-latest-tag +\d+ +[1-9]\d* +0 +0 +\S+ +\S+ +\d+(\.\d+)?µs +\S+ +closed$`,
		lines[1])
	text := strings.Join(lines, "\n")
	require.Regexp(t, `(?m)^no-privileged-pods +\d+ +[1-9]`, text)
	require.Regexp(t, `(?m)^always-pull +(\d+) +0 +0 +[1-9]`, text)
	require.Regexp(t, `(?m)^traps +(\d+) +0 +[1-9].*open$`, text)
}

func TestBadMetrics(t *testing.T) {
	many :=
		"# TYPE apiserver_wasm_admission_policies gauge\napiserver_wasm_admission_policies 1\n# TYPE apiserver_wasm_admission_policy_fuel_total counter\n"
	var b strings.Builder
	b.WriteString(many)
	for n := range 100_001 {
		fmt.Fprintf(&b, "apiserver_wasm_admission_policy_fuel_total{policy=\"%d\"} 1\n", n)
	}
	for name, test := range map[string]struct{ text, err string }{
		"nothing": {"",
			"there is no metric apiserver_wasm_admission_policies: the server was built without WasmAdmission"},
		"others": {"apiserver_request_total 1\n", "there is no metric"},
		"no metrics": {"apiserver_wasm_admission_policies{ 1\n",
			"reading metrics: text format parsing error"},
		"an endless line": {strings.Repeat("x", 2<<20),
			"reading metrics: bufio.Scanner: token too long"},
		"too many policies": {b.String(), "no server has more than 100000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := top.Read(strings.NewReader(test.text))
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestSources(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(metrics(1, 1)))
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t,
		os.WriteFile(kubeconfig,
			[]byte(
				`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"users":[{"name":"u"}],"clusters":[{"name":"c","cluster":{"server":"`+server.URL+`"}}]}`), 0o600))
	for _, from := range [][2]string{{server.URL + "/metrics", ""}, {"", kubeconfig}} {
		source, err := top.NewSource(from[0], from[1])
		require.NoError(t, err)
		s, err := source.Snapshot(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, s.Served)
	}

	for name, test := range map[string]struct{ where, kubeconfig, err string }{
		"no file": {"/none", "", "asking /none: open /none: no such file or directory"},
		"no kubeconfig": {"", "/none",
			"reading the kubeconfig (name one with --kubeconfig or in KUBECONFIG): stat /none"},
		"not allowed": {server.URL + "/other", "",
			"/other: it answered 403: the user must be allowed to get /metrics"},
		"no server": {"http://user:secret@127.0.0.1:1/metrics?token=secret", "",
			"asking http://127.0.0.1:1/metrics: dial tcp"},
		"something else": {"https://" + strings.TrimPrefix(server.URL, "http://"), "",
			"server gave HTTP response"},
		"no URL of a place": {"http://[", "", "the URL of the metrics cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := top.NewSource(test.where, test.kubeconfig)
			if err == nil {
				_, err = source.Snapshot(t.Context())
			}
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	source, err := top.NewSource(server.URL+"/metrics", "")
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = source.Snapshot(ended)
	require.ErrorIs(t, err, context.Canceled)
}
