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

package servers_test

import (
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/servers"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

func TestTheTableIsOneLineForEachServer(t *testing.T) {
	hostile := "a\x1b[31m\nb\tc"
	table := &status.Table{Skew: "servers run 2 different sets of policies",
		Servers: []status.Server{
			{Lease: "x", State: status.StateRunning, SecondsUnchanged: 12, Report: &status.Report{
				Host: "cp-1", Address: "10.0.0.1:6443", Running: strings.Repeat("1a2b3c4d", 8),
				Desired: strings.Repeat("1a2b3c4d", 8), Since: time.Unix(1e9, 0), PolicyCount: 12,
				Version: "v1",
			}},
			{
				Lease: "y", State: status.StateRefused, Report: &status.Report{
					Host:         hostile,
					Failures:     []string{hostile},
					FailureCount: 3,
				},
			},
			{Lease: "apiserver-z", State: status.StateUnknown, Reason: "no status"},
		}}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	servers.Write(w, table)
	require.NoError(t, w.Flush())
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t,
		`^cp-1 +10.0.0.1:6443 +running +1a2b3c4d +1a2b3c4d +2001-09-09T01:46:40Z +12 +v1 +12s ago$`,
		lines[1])
	require.Regexp(t, `^apiserver-z +- +unknown +- .* 0s ago$`, lines[3])
	problems := servers.Problems(table, "")
	require.Len(t, problems, 4)
	require.Equal(t, "skew: servers run 2 different sets of policies", problems[0])
	require.Contains(t, problems[2], "and 2 more")
	require.Equal(t, "unknown: apiserver-z: no status", problems[3])
	require.NotContains(t, text.String()+strings.Join(problems, ""), "\x1b")
	require.NotContains(t, strings.Join(problems, ""), "\n")

	require.Empty(t, servers.Problems(&status.Table{Servers: table.Servers[:1]}, ""))
}

func TestNobody(t *testing.T) {
	for name, test := range map[string]struct {
		webhooks string
		want     []string
	}{
		"apiservers": {"",
			[]string{"unknown: no apiserver reports its status: ", "feature gate WasmAdmission"}},
		"webhook servers": {"policies", []string{
			`unknown: no webhook server reports its status in namespace "policies": `,
			"--status-namespace",
		}},
		"terminal": {"a\x1b[2J", []string{`namespace "a\x1b[2J"`}},
	} {
		t.Run(name, func(t *testing.T) {
			problems := servers.Problems(&status.Table{}, test.webhooks)
			require.Len(t, problems, 1)
			for _, want := range test.want {
				require.Contains(t, problems[0], want)
			}
			require.NotContains(t, problems[0], "\x1b")
		})
	}
}
