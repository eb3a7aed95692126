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
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func metric(t *testing.T, s *harness.Server, line string) bool {
	t.Helper()
	text, err := s.Metrics(t.Context())
	require.NoError(t, err)
	return strings.Contains(text, "\napiserver_wasm_admission_"+line+"\n")
}

// member is a keeper whose clock the test controls.
type member struct {
	*testing.T
	keeper *status.Keeper
	clock  *clocktesting.FakeClock
	tables chan *status.Table
	end    func()
}

// told returns a table without the server itself, which has an identity Lease but no status.
func told(t *status.Table) *status.Table {
	t.Servers = slices.DeleteFunc(t.Servers, func(s status.Server) bool { return s.Report == nil })
	return t
}

func join(t *testing.T, s *harness.Server, host string, failures *[]string) *member {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := &member{
		T:      t,
		clock:  clocktesting.NewFakeClock(time.Unix(1e9, 0)),
		tables: make(chan *status.Table, 1),
	}
	m.keeper = status.NewKeeper(status.KeeperOptions{
		Leases: s.Clientset().CoordinationV1(), Host: host, Address: "10.0.0.1:6443",
		Clock: m.clock,
		Report: func() status.Report {
			return status.Report{
				Running:  strings.Repeat("a", 64),
				Desired:  strings.Repeat("a", 64),
				Failures: *failures,
			}
		},
		Observe: func(table *status.Table) {
			select {
			case m.tables <- table:
			case <-ctx.Done():
			}
		},
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.keeper.Run(ctx)
	}()
	m.end = func() {
		cancel()
		<-ended
	}
	t.Cleanup(m.end)
	<-m.tables
	return m
}

// after advances the clock, waits for the next round, and returns the table that the round saw.
func (m *member) after(d time.Duration) *status.Table {
	m.Helper()
	for {
		select {
		case table := <-m.tables:
			return told(table)
		default:
			if m.clock.HasWaiters() {
				m.clock.Step(d)
			}
		}
	}
}

func hosts(t *status.Table) (found []string) {
	for n := range t.Servers {
		if r := t.Servers[n].Report; r != nil && t.Servers[n].State != status.StateUnknown {
			found = append(found, r.Host+" "+strings.Join(r.Failures, ";"))
		}
	}
	return found
}

// The server's plugin is disabled, so only the keepers write the Leases.
func TestKeeper(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	all := s.Clientset().CoordinationV1().Leases(status.Namespace)
	var none []string

	t.Run("renews its Lease, and reports a change at once", func(t *testing.T) {
		var failures []string
		m := join(t, s, "a", &failures)
		before, err := all.Get(t.Context(), status.Name("a", "10.0.0.1:6443"), metav1.GetOptions{})
		require.NoError(t, err)
		m.after(40 * time.Second)
		after, err := all.Get(t.Context(), before.Name, metav1.GetOptions{})
		require.NoError(t, err)
		require.True(t, before.Spec.RenewTime.Before(after.Spec.RenewTime))
		require.Equal(t, before.Spec.AcquireTime, after.Spec.AcquireTime)
		failures = []string{"now"}
		m.keeper.Changed()
		require.Equal(t, []string{"a now"}, hosts(m.after(time.Second)))
		m.end()
		require.NoError(t, m.keeper.Remove(t.Context()))
		require.Empty(t, leases(t, s))
	})
	t.Run("recovers when its Lease is removed or changed", func(t *testing.T) {
		m := join(t, s, "a", &none)
		require.NoError(t,
			all.Delete(t.Context(), status.Name("a", "10.0.0.1:6443"), metav1.DeleteOptions{}))
		require.Equal(t, []string{"a "}, hosts(m.after(40*time.Second)))
		lease := leases(t, s)[0]
		lease.Annotations["other"] = "x"
		_, err := all.Update(t.Context(), &lease, metav1.UpdateOptions{})
		require.NoError(t, err)
		require.Equal(t, []string{"a "}, hosts(m.after(40*time.Second)))
		require.NotContains(t, leases(t, s)[0].Annotations, "other")
		m.end()
		require.NoError(t, m.keeper.Remove(t.Context()))
	})
	t.Run("does not fight", func(t *testing.T) {
		first := join(t, s, "a", &none)
		second := join(t, s, "a", &none)
		table := first.after(40 * time.Second)
		require.Len(t, table.Servers, 2)
		require.Contains(t, strings.Join(hosts(table), "\n"), "another server renews Lease "+
			status.Name("a", "10.0.0.1:6443"))
		require.Len(t, second.after(40*time.Second).Servers, 2, "the keeper must continue")
		second.end()
		require.NoError(t, second.keeper.Remove(t.Context()))
		for both := true; both; {
			both = len(first.after(40*time.Second).Servers) == 2
		}
		require.Equal(t, []string{"a "}, hosts(first.after(40*time.Second)))
		first.end()
		require.NoError(t, first.keeper.Remove(t.Context()))
		require.Empty(t, leases(t, s))
	})
	t.Run("takes over the Lease of an earlier process", func(t *testing.T) {
		join(t, s, "a", &none).end()
		m := join(t, s, "a", &none)
		require.Equal(t, []string{"a "}, hosts(m.after(40*time.Second)))
		m.end()
		require.NoError(t, m.keeper.Remove(t.Context()))
	})
	t.Run("removes Leases that are not renewed, after a delay", func(t *testing.T) {
		dead := join(t, s, "dead", &none)
		dead.end()
		m := join(t, s, "a", &none)
		require.Len(t, m.after(30*time.Second).Servers, 2)
		began, seen := m.clock.Now(), false
		for len(leases(t, s)) == 2 {
			table := m.after(10 * time.Second)
			seen = seen || table.Count(status.StateUnknown) > 0
			require.Less(t, m.clock.Since(began), time.Hour)
		}
		require.Greater(t, m.clock.Since(began), 18*time.Minute)
		require.True(t, seen)
		m.end()
		require.NoError(t, m.keeper.Remove(t.Context()))
	})
	t.Run("a server without the feature removes its Lease", func(t *testing.T) {
		join(t, s, "a", &none).end()
		require.Len(t, leases(t, s), 1)
		require.NoError(t,
			status.Withdraw(t.Context(), s.Clientset().CoordinationV1(), "a", "10.0.0.1:6443"))
		require.NoError(t,
			status.Withdraw(t.Context(), s.Clientset().CoordinationV1(), "a", "10.0.0.1:6443"))
		require.Empty(t, leases(t, s))
	})
}
