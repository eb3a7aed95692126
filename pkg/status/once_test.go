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

package status_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// epoch is the approximate time on the clocks of servers. The observer's clock differs.
var epoch = time.Unix(2e9, 0)

func renewed(lease *coordinationv1.Lease, at time.Time) *coordinationv1.Lease {
	lease.UID = types.UID(lease.Name)
	lease.Spec.RenewTime = &metav1.MicroTime{Time: at}
	return lease
}

// look calls Once. The pause until the next look passes at once, and step may change the Leases
// before it.
func look(t *testing.T, most time.Duration,
	step func(look int, leases map[string]*coordinationv1.Lease),
	leases ...*coordinationv1.Lease) (table, early *status.Table, took time.Duration) {
	t.Helper()
	all := map[string]*coordinationv1.Lease{}
	var objects []runtime.Object
	for _, lease := range leases {
		all[lease.Name] = lease
		objects = append(objects, lease)
	}
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	client := fake.NewClientset(objects...)
	looks := 0
	client.PrependReactor("list", "leases",
		func(action kubetesting.Action) (bool, runtime.Object, error) {
			labels := action.(kubetesting.ListAction).GetListRestrictions().Labels
			if labels.String() == status.Selector {
				if step != nil {
					step(looks, all)
				}
				for _, lease := range all {
					require.NoError(t,
						client.Tracker().
							Update(coordinationv1.SchemeGroupVersion.WithResource("leases"), lease,
								lease.Namespace))
				}
				looks++
			}
			return false, nil, nil
		})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if clock.HasWaiters() {
				clock.Step(time.Second)
			}
		}
	}()
	table, err := status.Once(ctx, client.CoordinationV1(), status.Place{}, clock, most,
		func(known *status.Table) {
			require.Nil(t, early, "once")
			require.Zero(t, clock.Since(time.Unix(0, 0)), "at once")
			early = known
		})
	require.NoError(t, err)
	took = clock.Since(time.Unix(0, 0))
	require.Equal(t, took > 0, early != nil, "a caller that waits gets the early table")
	return table, early, took
}

func states(t *status.Table) map[string]status.State {
	states := map[string]status.State{}
	for n := range t.Servers {
		states[t.Servers[n].Name()] = t.Servers[n].State
	}
	return states
}

func TestOnceReturnsAtOnceIfNobodySeemsLate(t *testing.T) {
	table, _, took := look(t, time.Minute, nil,
		renewed(encode(t, report("a", hashA)), epoch),
		renewed(encode(t, report("b", hashA)), epoch.Add(-30*time.Second)),
		renewed(identity("a"), epoch), renewed(identity("b"), epoch.Add(-time.Second)))
	require.Equal(t, map[string]status.State{"a": status.StateRunning, "b": status.StateRunning},
		states(table))
	require.EqualValues(t, 30, table.Servers[1].SecondsUnchanged)
	require.Zero(t, took)
}

// A server whose clock is slow is alive if it renews.
func TestOnceWatchesWhoSeemsLate(t *testing.T) {
	late := renewed(encode(t, report("late", hashA)), epoch.Add(-time.Hour))
	dead := renewed(encode(t, report("dead", hashA)), epoch.Add(-2*time.Hour))
	// It has ended too, but its clock was ahead of all others.
	ahead := renewed(encode(t, report("ahead", hashA)), epoch.Add(time.Hour))
	step := func(look int, leases map[string]*coordinationv1.Lease) {
		if look == 20 {
			renewed(leases[late.Name], epoch.Add(-time.Hour+time.Minute))
		}
	}
	want := map[string]status.State{
		"late":  status.StateRunning,
		"dead":  status.StateUnknown,
		"ahead": status.StateUnknown,
	}
	table, early, took := look(t, time.Minute, step, late, dead, ahead)
	require.Equal(t, want, states(table))
	trusting := map[string]status.State{
		"late":  status.StateUnknown,
		"dead":  status.StateUnknown,
		"ahead": status.StateRunning,
	}
	require.Equal(t, trusting, states(early))
	require.LessOrEqual(t, took, 52*time.Second)

	late.Spec.RenewTime = &metav1.MicroTime{Time: epoch.Add(-time.Hour)}
	table, _, took = look(t, 0, nil, late, dead, ahead)
	require.Equal(t, trusting, states(table), "clocks are trusted")
	require.Zero(t, took)
}

// A server that has ended leaves its identity Lease behind for hours.
func TestOnceForgetsIdentitiesThatAreNotRenewed(t *testing.T) {
	with, gone, without := renewed(encode(t, report("with", hashA)), epoch),
		renewed(identity("gone"), epoch.Add(-time.Hour)), renewed(identity("without"), epoch)
	table, _, _ := look(t, time.Minute, func(look int, leases map[string]*coordinationv1.Lease) {
		renewed(leases[without.Name], epoch.Add(time.Duration(look)*time.Second))
		renewed(leases[with.Name], epoch.Add(time.Duration(look)*time.Second))
	}, with, gone, without)
	require.Equal(t, map[string]status.State{
		"with":                 status.StateRunning,
		"apiserver-of-without": status.StateUnknown,
	}, states(table))
}

// Anyone who may write Leases could create some that sort before those of the servers.
func TestMoreLeasesThanAreLookedAtAreUnknown(t *testing.T) {
	for name, base := range map[string]*coordinationv1.Lease{
		"of status":     encode(t, report("x", hashA)),
		"of identities": identity("x"),
	} {
		t.Run(name, func(t *testing.T) {
			var crowd []*coordinationv1.Lease
			for n := range 200 {
				lease := base.DeepCopy()
				lease.Name = fmt.Sprintf("a-%03d", n)
				crowd = append(crowd, renewed(lease, epoch.Add(-time.Hour)))
			}
			table, _, _ := look(t, 0, nil, crowd...)
			require.NotContains(t, states(table), "(more)")
			table, _, _ = look(t, 0, nil, append(crowd, renewed(base.DeepCopy(), epoch))...)
			require.Equal(t, status.StateUnknown, states(table)["(more)"])
		})
	}
}
