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

package host

import (
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/session"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
)

// Answers answers the host calls of policies.
type Answers struct {
	// Capabilities answer host calls, by namespace.
	Capabilities map[string]capabilities.Capability
	// Inventory returns the cluster data for a Rego policy that may read the given kinds. Nil
	// provides none.
	Inventory func(resources []abi.ContextAwareResource) abi.Inventory

	// cluster is the source of inventories in a recording. It is nil if there is none.
	cluster session.Cluster
}

// Live returns live answers: from the cluster in the current context of a kubeconfig, from name
// servers, and from registries through images, for example from [Images]. With an empty path, it
// uses the same kubeconfig as kubectl. It connects only when a policy asks. A missing or invalid
// kubeconfig is then an error of the policy's call.
func Live(kubeconfig string, images oci.Images) (*Answers, error) {
	c := newCluster(kubeconfig)
	return &Answers{
		Capabilities: assembly.HostCapabilities(c, net.Options{}, images),
		Inventory:    c.inventory,
		cluster:      c,
	}, nil
}

// Replay returns the answers of a session.
func Replay(replay *session.Replay) *Answers {
	answers := &Answers{
		Capabilities: map[string]capabilities.Capability{},
		Inventory:    replay.Inventory,
	}
	for _, namespace := range session.Namespaces {
		answers.Capabilities[namespace] = replay.Capability(namespace)
	}
	return answers
}

// Record returns the same answers, and records them.
func (a *Answers) Record(recording *session.Recording) *Answers {
	recorded := &Answers{Capabilities: map[string]capabilities.Capability{}, Inventory: a.Inventory}
	if a.cluster != nil {
		recorded.Inventory = func(resources []abi.ContextAwareResource) abi.Inventory {
			return recording.Inventory(a.cluster,
				&capabilities.Caller{Resources: resources, Secrets: true})
		}
	}
	for namespace, capability := range a.Capabilities {
		recorded.Capabilities[namespace] = recording.Capability(namespace, capability)
	}
	return recorded
}
