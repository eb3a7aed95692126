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

package policyset

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// cluster records who asked last. It answers both host calls and requests for inventories.
type cluster struct{ asked capabilities.Caller }

func (c *cluster) Call(_ context.Context, caller *capabilities.Caller, _ string,
	_ []byte) ([]byte, error) {
	c.asked = *caller
	return nil, nil
}

func (c *cluster) Inventory(caller *capabilities.Caller) abi.Inventory {
	c.asked = *caller
	return inventory{}
}

type inventory struct{}

func (inventory) Inventory(context.Context, abi.ExecutionMode) ([]byte, uint64, error) {
	return []byte("{}"), 1, nil
}

func TestPoliciesHaveWhatTheyAreGranted(t *testing.T) {
	secret := wasmadmission.ContextAwareResource{APIVersion: "v1", Kind: "Secret"}
	config := &wasmadmission.WasmAdmissionConfiguration{}
	config.Limits.GuestLogLinesPerSecond = 1
	config.Capabilities.Kubernetes.SecretReaders = []string{"reader", "namespaced"}
	for _, test := range []struct {
		name   string
		spec   wasmadmission.Policy
		denied bool
		want   capabilities.Caller
	}{
		{"nothing", wasmadmission.Policy{Name: "p"}, true, capabilities.Caller{}},
		{"another capability", wasmadmission.Policy{Name: "p", HostCapabilities: []string{"oci/*"}},
			true, capabilities.Caller{}},
		{"no kinds", wasmadmission.Policy{Name: "p", HostCapabilities: []string{"*"}}, false,
			capabilities.Caller{Policy: "p"}},
		{"a kind", wasmadmission.Policy{
			Name:                  "p",
			HostCapabilities:      []string{"kubernetes/*"},
			ContextAwareResources: []wasmadmission.ContextAwareResource{secret},
		}, false,
			capabilities.Caller{
				Policy:    "p",
				Resources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Secret"}},
			}},
		{"a kind and Secrets", wasmadmission.Policy{
			Name:                  "reader",
			HostCapabilities:      []string{"*"},
			ContextAwareResources: []wasmadmission.ContextAwareResource{secret},
		}, false,
			capabilities.Caller{
				Policy:    "reader",
				Resources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Secret"}},
				Secrets:   true,
			}},
		{"of a namespace", wasmadmission.Policy{
			Name:                  "namespaced",
			Namespace:             "n",
			HostCapabilities:      []string{"*"},
			ContextAwareResources: []wasmadmission.ContextAwareResource{secret},
		}, false,
			capabilities.Caller{Policy: "namespaced"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &cluster{}
			l := &Loader{
				Capabilities: Capabilities{
					ByNamespace: map[string]capabilities.Capability{"kubernetes": c},
					Inventories: c,
				},
			}
			env, err := l.environment(&test.spec, config)
			require.NoError(t, err)
			require.Equal(t, len(test.want.Resources) > 0, env.Inventory != nil)
			if env.Inventory != nil {
				require.Equal(t, test.want, c.asked)
			}
			c.asked = capabilities.Caller{}
			_, err = env.Capabilities.Call(t.Context(),
				abi.HostCall{Binding: "kubewarden", Namespace: "kubernetes", Operation: "can_i"})
			require.Equal(t, test.denied, err != nil, err)
			require.Equal(t, test.want, c.asked)
		})
	}
}

func TestMissingCapabilitiesFail(t *testing.T) {
	spec := &wasmadmission.Policy{
		HostCapabilities: []string{"*"},
		ContextAwareResources: []wasmadmission.ContextAwareResource{{
			APIVersion: "v1", Kind: "Pod",
		}},
	}
	env, err := (&Loader{}).environment(spec, &wasmadmission.WasmAdmissionConfiguration{})
	require.NoError(t, err)
	_, err = env.Capabilities.Call(t.Context(),
		abi.HostCall{Binding: "kubewarden", Namespace: "kubernetes", Operation: "can_i"})
	require.ErrorContains(t, err, "host capability kubernetes/can_i is not available here")
	_, _, err = env.Inventory.Inventory(t.Context(), abi.ExecutionModeOPA)
	require.ErrorContains(t, err, "which this server cannot read")
}

func TestUngrantedRequestsAreWarnedOf(t *testing.T) {
	metadata := &abi.Metadata{
		ContextAwareResources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Pod"},
			{APIVersion: "v1", Kind: "Secret"}},
		HostCapabilities: []string{"oci/v1/verify", "kubernetes/*", "net/v1/dns_lookup_host"},
	}
	p := &Policy{spec: wasmadmission.Policy{
		Name: "p",
		ContextAwareResources: []wasmadmission.ContextAwareResource{{
			APIVersion: "v1", Kind: "Secret",
		}},
		HostCapabilities: []string{"oci/*", "kubernetes/can_i"},
	}}
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	for _, warning := range p.warnings(metadata, &wasmadmission.WasmAdmissionConfiguration{}) {
		warning.Tell(klog.NewContext(t.Context(), logger), nil)
	}
	logged := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
	require.Contains(t, logged, `contextAwareResources=[{"apiVersion":"v1","kind":"Pod"}]`)
	require.Contains(t, logged, "Policy may not read Secrets")
	require.Contains(t, logged, `hostCapabilities=["kubernetes/*","net/v1/dns_lookup_host"]`)
}
