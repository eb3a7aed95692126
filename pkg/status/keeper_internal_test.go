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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clocktesting "k8s.io/utils/clock/testing"
)

// While etcd is down, nobody can renew a Lease, and nobody sees that. Servers that come back first
// must not take the others for dead.
func TestAnOutageIsNoSilence(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	peer, err := Encode(Name("b", "10.0.0.2:6443"), Report{Host: "b"}, DefaultRenewEvery)
	require.NoError(t, err)
	peer.UID, peer.Spec.RenewTime = "b", &metav1.MicroTime{Time: clock.Now()}
	client := fake.NewClientset(peer)
	var table *Table
	k := NewKeeper(KeeperOptions{
		Leases: client.CoordinationV1(), Host: "a", Address: "10.0.0.1:6443", Clock: clock,
		Report: func() Report { return Report{} }, Observe: func(t *Table) { table = t },
	})
	require.NoError(t, k.round(t.Context()))
	clock.Step(time.Hour)
	require.NoError(t, k.round(t.Context()))
	require.Zero(t, table.Count(StateUnknown))
	_, err = client.CoordinationV1().Leases(Namespace).Get(t.Context(), peer.Name,
		metav1.GetOptions{})
	require.NoError(t, err)

	// A server that stays silent afterward is still noticed.
	for range 2 {
		clock.Step(DefaultRenewEvery)
		require.NoError(t, k.round(t.Context()))
	}
	require.Equal(t, 1, table.Count(StateUnknown))
}
