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
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/wasm-admission/wasm-admission/pkg/status"
)

var (
	hashA = strings.Repeat("1a2b3c4d", 8)
	hashB = strings.Repeat("5e6f7a8b", 8)
)

func report(host, hash string) status.Report {
	return status.Report{
		Instance: "process-of-" + host, Host: host, Address: "10.0.0.1:6443",
		State: status.StateRunning, Running: hash, Desired: hash, Configuration: hashA,
		Since:       time.Unix(1e9, 0).UTC(),
		Policies:    []status.Policy{{Name: "p", Mode: "protect", Digest: "sha256:" + hashA}},
		PolicyCount: 1, Version: "v1.2.3, commit abc",
	}
}

func encode(t *testing.T, r status.Report) *coordinationv1.Lease {
	t.Helper()
	lease, err := status.Encode(status.Name(r.Host, r.Address), r, 40*time.Second)
	require.NoError(t, err)
	return lease
}

func TestHoldersAreCounted(t *testing.T) {
	for count, want := range map[int]string{0: "0 policies", 1: "1 policy", 2: "2 policies"} {
		r := report("cp-1", hashA)
		r.Policies, r.PolicyCount = nil, count
		require.Equal(t, "cp-1 running=1a2b3c4d desired=1a2b3c4d "+want,
			*encode(t, r).Spec.HolderIdentity)
	}
}

func TestEncodeAndDecode(t *testing.T) {
	before := report("cp-1", hashA)
	before.State, before.Desired, before.Failures, before.FailureCount = status.StateRefused, hashB,
		[]string{"policy \"p\": bad"}, 1
	lease := encode(t, before)
	require.Equal(t, "kube-system", lease.Namespace)
	require.Equal(t, "cp-1 running=1a2b3c4d desired=5e6f7a8b REFUSED 1 policy",
		*lease.Spec.HolderIdentity)
	require.Equal(t, map[string]string{
		"wasm.admission.k8s.io/status": "apiserver", "wasm.admission.k8s.io/state": "refused",
		"wasm.admission.k8s.io/running": "1a2b3c4d", "wasm.admission.k8s.io/desired": "5e6f7a8b",
	}, lease.Labels)
	require.EqualValues(t, 120, *lease.Spec.LeaseDurationSeconds)
	after, err := status.Decode(lease)
	require.NoError(t, err)
	require.Equal(t, before, *after)
}

func TestNamesAreDistinct(t *testing.T) {
	names := map[string]bool{}
	for _, server := range [][2]string{{"a", "10.0.0.1:6443"}, {"a", "10.0.0.2:6443"},
		{"b", "10.0.0.1:6443"}, {"a1", "0.0.0.1:6443"}} {
		name := status.Name(server[0], server[1])
		require.Empty(t, validation.IsDNS1123Label(name))
		require.True(t, strings.HasPrefix(name, status.NamePrefix))
		names[name] = true
	}
	require.Len(t, names, 4)
}

func TestWhatIsTooMuchIsLeftOutAndCounted(t *testing.T) {
	r := report(strings.Repeat("h", 1000), hashA)
	r.Policies, r.PolicyCount, r.Failures = nil, 0, nil
	for n := range 1000 {
		r.Policies = append(r.Policies, status.Policy{
			Name:   fmt.Sprint("policy-", n),
			Mode:   "protect",
			Digest: "sha256:" + hashA,
		})
		r.Failures = append(r.Failures, strings.Repeat("ä", 5000))
	}
	lease := encode(t, r)
	require.Less(t, len(lease.Annotations[status.Annotation]), 16<<10)
	require.Less(t, len(*lease.Spec.HolderIdentity), 150)
	after, err := status.Decode(lease)
	require.NoError(t, err)
	require.Equal(t, 1000, after.PolicyCount)
	require.Greater(t, len(after.Policies), 50)
	require.Equal(t, 1000, after.FailureCount)
	require.Len(t, after.Failures, 8)
	require.LessOrEqual(t, len(after.Failures[0]), 500)
	require.True(t, strings.HasSuffix(after.Failures[0], "ä…"))
}

func TestInvalidHashesAreNotLabels(t *testing.T) {
	r := report("h", "")
	r.Desired = "unknown"
	labels := encode(t, r).Labels
	require.Equal(t, "unknown", labels[status.RunningLabel])
	require.Equal(t, "unknown", labels[status.DesiredLabel])
}

func TestHostileLeases(t *testing.T) {
	control, err := json.Marshal(map[string]any{
		"host": "a\x1b[2J\nb\tc\u202e", "running": "\x00", "state": "\x1b", "policyCount": -5,
		"failures": []string{"\r\x1b]0;x\x07"},
		"policies": []map[string]string{{"name": "\x1b[31m"}},
	})
	require.NoError(t, err)
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":            {"{", "is not a report"},
		"another type":       {`{"policies": "x"}`, "is not a report"},
		"a list":             {"[]", "is not a report"},
		"huge":               {`{"host": "` + strings.Repeat("a", 1<<20) + `"}`, "is longer than"},
		"control characters": {string(control), ""},
	} {
		t.Run(name, func(t *testing.T) {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
				Name: status.NamePrefix + "x", Namespace: status.Namespace,
				Labels:      map[string]string{status.Label: status.LabelValue},
				Annotations: map[string]string{status.Annotation: test.text},
			}}
			r, err := status.Decode(lease)
			table := status.Judge([]status.Seen{{Lease: lease}}, nil)
			require.Len(t, table.Servers, 1)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				require.Equal(t, status.StateUnknown, table.Servers[0].State)
				require.Less(t, len(table.Servers[0].Reason), 200)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 1, r.PolicyCount)
			for _, text := range []string{
				r.Host,
				r.Running,
				string(r.State),
				r.Failures[0],
				r.Policies[0].Name,
			} {
				require.NotContains(t, text, "\x1b")
				for _, char := range text {
					require.True(t, unicode.IsPrint(char), "%q", text)
				}
			}
		})
	}
	_, err = status.Decode(&coordinationv1.Lease{})
	require.ErrorContains(t, err, "no annotation")
}
