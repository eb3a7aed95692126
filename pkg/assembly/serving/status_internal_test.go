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

package serving

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// started returns a server with a policy, loaded as load does, but without a cluster.
func started(t *testing.T, told *Status) *Server {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	module, err := os.ReadFile("../../../test/wat/deny.wasm")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(directory, "deny.wasm"), module, 0o600))
	config, err :=
		assembly.Decode(
			[]byte(
				`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration", "compilation": {"mode": "InProcess"},
		"policies": [{"name": "p", "mode": "monitor", "module": "file://` + directory + `/deny.wasm", "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]}`))
	require.NoError(t, err)
	a, err := assembly.New(t.Context(), config, assembly.Options{})
	require.NoError(t, err)
	s := NewServer(Options{Status: told})
	l := &loaded{
		manager:       a.Manager(reload.NewSource(config)),
		configuration: hashBesidePolicies(config),
	}
	require.NoError(t, l.manager.Start(t.Context()))
	s.loaded = l
	return s
}

func TestStatusIsPublishedAndWithdrawn(t *testing.T) {
	told, client := &Status{}, fake.NewClientset()
	started(t, told)
	leases := client.CoordinationV1().Leases(status.Namespace)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		told.Run(t.Context(), StatusOptions{
			Leases:     client.CoordinationV1(),
			Host:       "h",
			Address:    "10.0.0.1:6443",
			Kubernetes: "v1.37.2",
		})
	}()
	name := status.Name("h", "10.0.0.1:6443")
	var report *status.Report
	require.Eventually(t, func() bool {
		lease, err := leases.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil {
			report, err = status.Decode(lease)
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "h", report.Host)
	require.Equal(t, status.StateRunning, report.State)
	require.Len(t, report.Policies, 1)
	require.Equal(t, "p", report.Policies[0].Name)
	require.Equal(t, "monitor", report.Policies[0].Mode)
	require.Regexp(t, "^[0-9a-f]{64}$", report.Running)
	require.Equal(t, report.Running, report.Desired)
	require.False(t, report.Since.IsZero())
	require.Equal(t, "v1.37.2", report.Kubernetes)

	require.NoError(t, told.Stop())
	<-ended
	list, err := leases.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, list.Items)
	told.Run(t.Context(), StatusOptions{})
	require.NoError(t, told.Stop(), "twice does no harm")
}

func TestServerWithoutPoliciesWithdrawsStatus(t *testing.T) {
	lease, err := status.Encode(status.Name("h", "a:1"), status.Report{}, status.DefaultRenewEvery)
	require.NoError(t, err)
	client := fake.NewClientset(lease)
	told := &Status{}
	NewServer(Options{Status: told})
	told.Run(t.Context(), StatusOptions{Leases: client.CoordinationV1(), Host: "h", Address: "a:1"})
	list, err := client.CoordinationV1().Leases("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, list.Items)
	require.NoError(t, told.Stop())
}

func TestServerThatStopsEarlyPublishesNothing(t *testing.T) {
	told, client := &Status{}, fake.NewClientset()
	started(t, told)
	require.NoError(t, told.Stop())
	told.Run(context.WithoutCancel(t.Context()), StatusOptions{Leases: client.CoordinationV1()})
	require.Empty(t, client.Actions())
}

func TestHashBesidePolicies(t *testing.T) {
	hash := func(adjust func(*wasmadmission.WasmAdmissionConfiguration)) string {
		config, err := assembly.Decode(nil)
		require.NoError(t, err)
		adjust(config)
		return hashBesidePolicies(config)
	}
	base := hash(func(c *wasmadmission.WasmAdmissionConfiguration) { c.PolicyDirectory = "/a" })
	require.Regexp(t, "^[0-9a-f]{64}$", base)
	require.Equal(t, base, hash(func(c *wasmadmission.WasmAdmissionConfiguration) {
		c.PolicyDirectory, c.Policies = "/b", []wasmadmission.Policy{{Name: "p"}}
	}))
	for name, adjust := range map[string]func(*wasmadmission.WasmAdmissionConfiguration){
		"exemptions": func(c *wasmadmission.WasmAdmissionConfiguration) {
			c.Exemptions.Usernames = []string{"u"}
		},
		"limits": func(c *wasmadmission.WasmAdmissionConfiguration) { c.Limits.ModuleSize++ },
		"no directory": func(c *wasmadmission.WasmAdmissionConfiguration) {
			c.PolicyDirectory = ""
		},
		"break-glass": func(c *wasmadmission.WasmAdmissionConfiguration) {
			c.BreakGlassFile = "/b"
		},
	} {
		require.NotEqual(t, base, hash(func(c *wasmadmission.WasmAdmissionConfiguration) {
			c.PolicyDirectory = "/a"
			adjust(c)
		}), name)
	}
}

func TestReportHasFailuresAndSince(t *testing.T) {
	r := &reporter{}
	report := r.describe(reload.Status{
		Running: "a",
		Desired: "unknown",
		Reason:  errors.New("one\ntwo"),
		Kept:    true,
	})
	require.Equal(t, status.StateRefused, report.State)
	require.Equal(t, []string{"serving the policies that an earlier process kept", "one", "two"},
		report.Failures)
	require.NotNil(t, report.FailedSince)
}
