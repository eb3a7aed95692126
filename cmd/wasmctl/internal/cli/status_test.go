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

package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

func TestStatusProblems(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		code      int
		err       string
	}{
		"no format": {[]string{"-o", "xml"}, cli.ExitUsage,
			`--output: there is no format "xml": write one of table, json, yaml`},
		"no time": {[]string{"--wait", "-1s"}, cli.ExitUsage,
			"--wait: -1s is negative: write 0 or more"},
		"no kubeconfig": {[]string{"--kubeconfig", "/none"}, cli.ExitProblem,
			"reading the kubeconfig (name one with --kubeconfig or in KUBECONFIG): stat /none"},
		"an argument": {[]string{"a"}, cli.ExitUsage, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"status"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
}

// leases serves the Leases of servers that renewed them so long ago, and returns a kubeconfig for
// them.
func leases(t *testing.T, ages map[string]time.Duration) (kubeconfig string) {
	t.Helper()
	list := coordinationv1.LeaseList{
		TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "LeaseList"},
	}
	for host, age := range ages {
		lease, err := status.Encode(status.Name(host, host),
			status.Report{Host: host, Running: "1a2b3c4d", Desired: "1a2b3c4d"}, 40*time.Second)
		require.NoError(t, err)
		lease.UID, lease.Spec.RenewTime = types.UID(host),
			&metav1.MicroTime{Time: time.Unix(2e9, 0).Add(-age)}
		list.Items = append(list.Items, *lease)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := list
		if !strings.HasPrefix(r.URL.Query().Get("labelSelector"), status.Label) {
			answer.Items = nil
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the client is gone
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t,
		os.WriteFile(kubeconfig,
			fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c",
		"contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL), 0o600))
	return kubeconfig
}

func TestStatusShowsWhatIsKnownBeforeItWaits(t *testing.T) {
	kubeconfig := leases(t, map[string]time.Duration{"fresh": 0, "stale": time.Hour})
	got := call(t, "status", "--kubeconfig", kubeconfig, "--wait", "1ms")
	require.Equal(t, cli.ExitUnknown, got.code, got.err)
	require.Regexp(t,
		`(?s)^Watching the Leases for up to 1ms \(--wait\).*\nfresh .* running .*\nstale .* unknown .*`,
		got.err)
	require.Regexp(t, `(?s)^SERVER.*\nfresh .* running .*\nstale .* unknown .*`, got.out)

	got = call(t, "status", "--kubeconfig", kubeconfig, "--wait", "0", "-o", "json")
	require.Equal(t, cli.ExitUnknown, got.code, got.err)
	require.Empty(t, got.err, "nobody waits")
	require.True(t, json.Valid([]byte(got.out)))
}
