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

package status

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func leases(t *testing.T, s *harness.Server) []coordinationv1.Lease {
	t.Helper()
	list, err := s.Clientset().CoordinationV1().Leases(status.Namespace).
		List(t.Context(), metav1.ListOptions{LabelSelector: status.Selector})
	require.NoError(t, err)
	return list.Items
}

// TestTwoServersReportStatus takes two servers through normal operation, a bad change, skew, an
// orderly stop, and a crash. A policy denies every write of a Lease all the time.
func TestTwoServersReportStatus(t *testing.T) {
	c := newCluster(t)
	for _, server := range []string{"a", "b", "c"} {
		c.policy(server, "no-leases", "deny.wasm", "coordination.k8s.io", "leases")
	}
	a, b := c.start("a"), c.start("b")

	c.becomes(a, 0, nil, " running ")
	require.Eventually(t, func() bool { return len(leases(t, a)) == 2 }, time.Minute,
		100*time.Millisecond)
	table := c.becomes(b, 0, nil, " running ")
	require.Regexp(t,
		`^SERVER +ADDRESS +STATE +RUNNING +DESIRED +SINCE +POLICIES +VERSION +RENEWED\n(\S+ +[\d.]+:\d+ +running +[0-9a-f]{8} +[0-9a-f]{8} +\S+Z +1 +.*commit.* +\S+ ago\n){2}$`,
		table)

	t.Run("kubectl", func(t *testing.T) {
		got, err := a.Kubectl(t.Context(), "get", "lease", "-n", "kube-system", "-l",
			status.Selector, "-L", status.RunningLabel, "-L", status.StateLabel)
		require.NoError(t, err)
		require.Regexp(t,
			`(?m)^wasm-admission-apiserver-\S+ +\S+ running=([0-9a-f]{8}) desired=[0-9a-f]{8} 1 policy +\S+ +[0-9a-f]{8} +running$`,
			got.Stdout)
	})
	t.Run("json", func(t *testing.T) {
		var table status.Table
		require.NoError(t, json.Unmarshal([]byte(c.wasmctl(a, "-o", "json").Stdout), &table))
		require.Len(t, table.Servers, 2)
		require.Equal(t, "clusterwide-no-leases", table.Servers[0].Report.Policies[0].Name)
		require.Equal(t, "protect", table.Servers[0].Report.Policies[0].Mode)
		require.Regexp(t, "^sha256:[0-9a-f]{64}$", table.Servers[0].Report.Policies[0].Digest)
	})
	t.Run("other clients are evaluated", func(t *testing.T) {
		own := leases(t, a)[0]
		own.Labels["a"] = "b"
		_, err := a.Clientset().CoordinationV1().Leases(status.Namespace).
			Update(t.Context(), &own, metav1.UpdateOptions{})
		require.ErrorContains(t, err, `policy "clusterwide-no-leases" denied`)
		err = a.Clientset().CoordinationV1().Leases(status.Namespace).Delete(t.Context(), own.Name,
			metav1.DeleteOptions{})
		require.ErrorContains(t, err, `policy "clusterwide-no-leases" denied`)
	})
	t.Run("metrics", func(t *testing.T) {
		require.Eventually(t, func() bool { return metric(t, a, `servers{state="running"} 2`) },
			time.Minute, 100*time.Millisecond)
		require.True(t, metric(t, a, "servers_running_sets 1"))
	})
	t.Run("a bad change", func(t *testing.T) {
		c.policy("b", "bad", "missing.wasm", "", "configmaps")
		table := c.becomes(a, 4, nil, " refused ", "missing.wasm: no such file")
		require.NotContains(t, table, "skew")
	})
	t.Run("skew", func(t *testing.T) {
		c.policy("b", "bad", "deny.wasm", "", "configmaps")
		c.becomes(b, 3, nil, "skew: servers run 2 different sets of policies")
		require.Eventually(t, func() bool { return metric(t, a, "servers_running_sets 2") },
			time.Minute, 100*time.Millisecond)
		require.NoError(t, os.Remove(c.path("b.d", "bad.yaml")))
		c.becomes(a, 0, nil)
	})
	t.Run("an orderly stop", func(t *testing.T) {
		third := c.start("c")
		require.Eventually(t, func() bool { return len(leases(t, a)) == 3 }, time.Minute,
			100*time.Millisecond)
		require.NoError(t, third.Stop())
		require.Len(t, leases(t, a), 2)
	})
	t.Run("a crash", func(t *testing.T) {
		b.Kill9()
		c.becomes(a, 5, nil, " unknown ", "is not renewed")
		require.Eventually(t, func() bool { return metric(t, a, `servers{state="unknown"} 1`) },
			time.Minute, 100*time.Millisecond)
		require.Eventually(t, func() bool { return len(leases(t, a)) == 1 }, 2*time.Minute,
			100*time.Millisecond)
		c.becomes(a, 0, nil)
	})
}
