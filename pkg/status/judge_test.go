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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/status"
)

func identity(host string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "apiserver-of-" + host,
		Namespace: status.Namespace, Labels: map[string]string{
			"apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": host,
		}}}
}

func TestJudge(t *testing.T) {
	refused, limits, foreign := report("c", hashA), report("c", hashA),
		encode(t, report("f", hashB))
	refused.State, refused.Desired = status.StateRefused, hashB
	limits.Configuration = hashB
	foreign.Name = "somebody-else"
	endless := encode(t, report("e", hashA))
	seconds := int32(1 << 30)
	endless.Spec.LeaseDurationSeconds = &seconds
	for _, test := range []struct {
		name                 string
		statuses, identities []status.Seen
		states               []status.State
		sets                 int
		skew                 string
	}{
		{"nobody", nil, nil, []status.State{}, 0, ""},
		{
			"all the same",
			[]status.Seen{{Lease: encode(t, report("a", hashA))},
				{Lease: encode(t, report("b", hashA)), Unchanged: 119 * time.Second}},
			[]status.Seen{{Lease: identity("a")}, {Lease: identity("b")}},
			[]status.State{status.StateRunning, status.StateRunning}, 1, "",
		},
		{
			"skew",
			[]status.Seen{{Lease: encode(t, report("b", hashB))},
				{Lease: encode(t, report("a", hashA))}}, nil,
			[]status.State{status.StateRunning, status.StateRunning}, 2,
			"servers run 2 different sets of policies",
		},
		{
			"other limits",
			[]status.Seen{{Lease: encode(t, report("a", hashA))}, {Lease: encode(t, limits)}}, nil,
			[]status.State{status.StateRunning, status.StateRunning}, 1,
			"servers run the same policies with 2 different configurations of everything else, such as limits and exemptions",
		},
		{
			"a bad change",
			[]status.Seen{{Lease: encode(t, report("a", hashA))}, {Lease: encode(t, refused)}}, nil,
			[]status.State{status.StateRunning, status.StateRefused}, 1, "",
		},
		{
			"what is not renewed is no skew",
			[]status.Seen{{Lease: encode(t, report("a", hashA))},
				{Lease: encode(t, report("b", hashB)), Unchanged: 121 * time.Second}}, nil,
			[]status.State{status.StateRunning, status.StateUnknown}, 1, "",
		},
		{
			"a Lease cannot say that it is good for ever",
			[]status.Seen{{Lease: endless, Unchanged: 11 * time.Minute}}, nil,
			[]status.State{status.StateUnknown}, 0, "",
		},
		{
			"an apiserver without a status", []status.Seen{{Lease: encode(t, report("x", hashA))}},
			[]status.Seen{{Lease: identity("x")}, {Lease: identity("a")},
				{Lease: identity("gone"), Unchanged: time.Hour}},
			[]status.State{status.StateUnknown, status.StateRunning}, 1, "",
		},
		{"a Lease of another name", []status.Seen{{Lease: foreign}}, nil, []status.State{}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := status.Judge(test.statuses, test.identities)
			states := []status.State{}
			for _, server := range table.Servers {
				states = append(states, server.State)
				require.Equal(t, server.State == status.StateUnknown, server.Reason != "")
			}
			require.Equal(t, test.states, states)
			require.Equal(t, test.sets, table.RunningSets)
			require.Equal(t, test.skew, table.Skew)
		})
	}
}
