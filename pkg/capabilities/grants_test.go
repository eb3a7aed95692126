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

package capabilities_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// leaves are all existing operations, by namespace.
var leaves = map[string][]string{
	"kubernetes": {"list_resources_by_namespace", "list_resources_all", "get_resource", "can_i"},
	"oci": {"v1/verify", "v2/verify", "v1/manifest_digest", "v1/oci_manifest",
		"v1/oci_manifest_config"},
	"net":    {"v1/dns_lookup_host"},
	"crypto": {"v1/is_certificate_trusted"},
}

// crafted returns variants of a name that must not pass for the name.
func crafted(name string) []string {
	long := strings.Repeat("x", 1<<16)
	return []string{
		"", " ", name + " ", " " + name, strings.ToUpper(name), name + "/", "/" + name, name + "/.",
		"./" + name, name + "/..", "../" + name,
		name + "//", name + "\x00", "\x00" + name, name + "\x00x", name + "\n", "*", name + "*",
		name + "/*", name + "%2f", name + "\\",
		name + "\xff", "ｋ" + name, name + long, long, "tracing/" + name, name + "/../tracing",
		"tracing/../" + name,
	}
}

// A policy without grants reaches only tracing, whatever name it calls. No other capability sees a
// call.
func TestNothingIsReachedWithoutAGrant(t *testing.T) {
	behind, log := &recorder{}, &recorder{}
	gate := capabilities.NewGate(capabilities.GateOptions{Tracing: log, Shared: every(behind)})
	refuse := func(binding, namespace, operation string) {
		t.Helper()
		_, err := gate.Call(t.Context(), abi.HostCall{
			Binding:   binding,
			Namespace: namespace,
			Operation: operation,
			Payload:   []byte("{}"),
		})
		require.Error(t, err, "%q %q %q", binding, namespace, operation)
	}
	for namespace, operations := range leaves {
		for _, operation := range operations {
			refuse("kubewarden", namespace, operation)
			for _, binding := range crafted("kubewarden") {
				refuse(binding, namespace, operation)
			}
			for _, n := range crafted(namespace) {
				refuse("kubewarden", n, operation)
			}
			for _, o := range crafted(operation) {
				refuse("kubewarden", namespace, o)
			}
			// This variant moves the boundary between namespace and operation.
			path := namespace + "/" + operation
			for n := range path {
				refuse("kubewarden", path[:n], path[n:])
			}
		}
	}
	for _, n := range crafted("tracing") {
		refuse("kubewarden", n, "log")
	}
	require.Zero(t, behind.called)
	require.Zero(t, log.called)
}

// A grant covers exactly the capabilities that it names.
func TestAGrantReachesOnlyWhatItNames(t *testing.T) {
	for granted, operations := range leaves {
		for _, pattern := range []string{granted + "/*", granted + "/" + operations[0]} {
			behind := &recorder{}
			gate := capabilities.NewGate(capabilities.GateOptions{
				Grants:  grants(t, pattern),
				Tracing: behind,
				Shared:  every(behind),
			})
			for namespace, operations := range leaves {
				for _, operation := range operations {
					reach := namespace == granted &&
						(strings.HasSuffix(pattern, "*") || operation == operations[0])
					_, err := gate.Call(t.Context(), abi.HostCall{
						Binding:   "kubewarden",
						Namespace: namespace,
						Operation: operation,
					})
					require.Equal(t, reach, err == nil, "%s: %s/%s: %v", pattern, namespace,
						operation, err)
					before := behind.called
					for _, o := range crafted(operation) {
						_, err := gate.Call(t.Context(),
							abi.HostCall{Binding: "kubewarden", Namespace: namespace, Operation: o})
						require.Error(t, err, "%s: %q", pattern, o)
					}
					for _, n := range crafted(namespace) {
						_, err := gate.Call(t.Context(),
							abi.HostCall{Binding: "kubewarden", Namespace: n, Operation: operation})
						require.Error(t, err, "%s: %q", pattern, n)
					}
					require.Equal(t, before, behind.called)
				}
			}
		}
	}
}

// FuzzGate searches for a name that passes the grants and reaches a capability.
func FuzzGate(f *testing.F) {
	for namespace, operations := range leaves {
		for _, operation := range operations {
			f.Add("kubewarden", namespace, operation)
		}
	}
	f.Fuzz(func(t *testing.T, binding, namespace, operation string) {
		behind := &recorder{}
		gate := capabilities.NewGate(capabilities.GateOptions{
			Grants:  grants(t, "kubernetes/get_resource", "oci/v1/*"),
			Tracing: &recorder{},
			Shared:  every(behind),
		})
		_, err := gate.Call(t.Context(),
			abi.HostCall{Binding: binding, Namespace: namespace, Operation: operation})
		if behind.called == 0 {
			return
		}
		require.NoError(t, err)
		require.Equal(t, "kubewarden", binding)
		require.True(t, namespace == "kubernetes" && operation == "get_resource" ||
			namespace == "oci" && strings.HasPrefix(operation, "v1/"))
	})
}
