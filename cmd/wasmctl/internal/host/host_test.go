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

package host_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/session"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// echo answers with its input.
type echo struct{}

func (echo) Call(_ context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	return []byte(caller.Policy + " " + operation + " " + string(payload)), nil
}

// own answers calls that need no grant.
type own struct{}

func (own) Call(_ context.Context, call abi.HostCall) ([]byte, error) {
	return []byte("own " + call.Binding + " " + call.Namespace), nil
}

func TestGate(t *testing.T) {
	answers := &host.Answers{Capabilities: map[string]capabilities.Capability{"net": echo{}}}
	granted, err := capabilities.ParsePatterns([]string{"net/*", "oci/*"})
	require.NoError(t, err)
	gate := answers.Gate("p", host.Grants{Capabilities: granted}, own{})
	for name, test := range map[string]struct {
		call      abi.HostCall
		want, err string
	}{
		"granted": {abi.HostCall{
			Binding:   "kubewarden",
			Namespace: "net",
			Operation: "v1/dns_lookup_host",
			Payload:   []byte("x"),
		}, "p v1/dns_lookup_host x", ""},
		"denied": {abi.HostCall{
			Binding:   "kubewarden",
			Namespace: "kubernetes",
			Operation: "can_i",
		}, "",
			"Policy has not been granted access to the 'kubernetes/can_i' host capability. The violation has been reported."},
		"not answered": {abi.HostCall{
			Binding:   "kubewarden",
			Namespace: "oci",
			Operation: "v1/verify",
		}, "", "Callback evaluation failure: host capability oci/v1/verify is not available here"},
		"tracing": {abi.HostCall{
			Binding:   "kubewarden",
			Namespace: "tracing",
			Operation: "log",
		}, "own kubewarden tracing", ""},
		"binding": {abi.HostCall{
			Binding:   "other",
			Namespace: "net",
			Operation: "v1/dns_lookup_host",
		}, "", "unknown binding: other"},
		"crafted": {abi.HostCall{
			Binding:   "kubewarden",
			Namespace: "net/v1",
			Operation: "../kubernetes/can_i",
		}, "", "unknown namespace: net/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := gate.Call(t.Context(), test.call)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}

// Replaying a recording returns the same answers.
func TestRecordAndReplay(t *testing.T) {
	all, err := capabilities.ParsePatterns([]string{"*"})
	require.NoError(t, err)
	call := abi.HostCall{
		Binding:   "kubewarden",
		Namespace: "net",
		Operation: "v1/dns_lookup_host",
		Payload:   []byte(`"a"`),
	}
	recording := &session.Recording{}
	live := &host.Answers{Capabilities: map[string]capabilities.Capability{"net": echo{}}}
	first, err := live.Record(recording).Gate("p", host.Grants{Capabilities: all}, own{}).
		Call(t.Context(), call)
	require.NoError(t, err)
	replay := session.NewReplay(recording.Session())
	again, err := host.Replay(replay).Gate("p", host.Grants{Capabilities: all}, own{}).
		Call(t.Context(), call)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Empty(t, replay.Left())
}

// A missing kubeconfig is an error only when a policy reads the cluster. Refusals that need no
// cluster are the same with and without a kubeconfig.
func TestLiveWithoutKubeconfig(t *testing.T) {
	answers, err := host.Live(filepath.Join(t.TempDir(), "missing"), nil)
	require.NoError(t, err)
	for _, namespace := range session.Namespaces {
		require.NotNil(t, answers.Capabilities[namespace])
	}
	const missing = "the policy reads the cluster, but there is no usable kubeconfig (name one with --kubeconfig or in KUBECONFIG, or replay a session): "
	const denied = "Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."
	resources := []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}
	for name, test := range map[string]struct{ operation, payload, want string }{
		"get": {"get_resource",
			`{"api_version": "v1", "kind": "Namespace", "name": "n"}`,
			"Callback evaluation failure: " + missing},
		"list": {"list_resources_all", `{"api_version": "v1", "kind": "Namespace"}`,
			"Callback evaluation failure: " + missing},
		"can_i": {"can_i",
			`{"subject_access_review": {"user": "u", "resource_attributes": {"verb": "get", "resource": "pods"}}}`,
			"Callback evaluation failure: " + missing},
		"get not granted": {"get_resource",
			`{"api_version": "v1", "kind": "Secret", "name": "n"}`, denied},
		"list not granted": {"list_resources_all", `{"api_version": "v1", "kind": "Secret"}`,
			denied},
		"get not understood": {"get_resource", `{}`, "missing field `api_version`"},
		"can_i of nobody": {"can_i", `{"subject_access_review": {"user": ""}}`,
			"at least one of user and groups must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answers.Capabilities["kubernetes"].Call(t.Context(),
				&capabilities.Caller{Resources: resources}, test.operation, []byte(test.payload))
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), test.want), err)
		})
	}
	require.Nil(t, answers.Inventory(nil))
	_, _, err = answers.Inventory(resources).Inventory(t.Context(), abi.ExecutionModeOPA)
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), missing), err)
}

// Rego policies are loaded as in a server.
func TestGuests(t *testing.T) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	for mode, policy := range map[abi.ExecutionMode]string{
		abi.ExecutionModeOPA:        "team-label",
		abi.ExecutionModeGatekeeper: "unique-ingress-host",
	} {
		wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "test", "policies", policy,
			"policy.wasm"))
		require.NoError(t, err)
		guest, err := host.Guests()[mode](t.Context(), e, wasm)
		require.NoError(t, err)
		require.NotNil(t, guest)
	}
}
