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

// Answers are what answers the questions of policies.
type Answers struct {
	// Capabilities answer host calls, by their namespace.
	Capabilities map[string]capabilities.Capability
	// Inventory returns what a policy in Rego is given of the kinds that it may read; nil
	// means nothing.
	Inventory func(resources []abi.ContextAwareResource) abi.Inventory

	// cluster is what inventories are made of when they are recorded; nil means nothing.
	cluster session.Cluster
}

// Live returns the answers of the real world: of the cluster of a kubeconfig, of its
// current context, of name servers, and of registries by images, of which [Images] makes
// some. A path of "" stands for what kubectl would use. Nothing is asked before a policy
// asks: a kubeconfig that is missing or wrong is an error of the policy's question.
func Live(kubeconfig string, images oci.Images) (*Answers, error) {
	c := newCluster(kubeconfig)
	return &Answers{
		Capabilities: assembly.HostCapabilities(c, net.Options{}, images),
		Inventory:    c.inventory,
		cluster:      c,
	}, nil
}

// Replay returns the answers that a session has.
func Replay(replay *session.Replay) *Answers {
	answers := &Answers{Capabilities: map[string]capabilities.Capability{}, Inventory: replay.Inventory}
	for _, namespace := range session.Namespaces {
		answers.Capabilities[namespace] = replay.Capability(namespace)
	}
	return answers
}

// Record returns the same answers, and takes them down.
func (a *Answers) Record(recording *session.Recording) *Answers {
	recorded := &Answers{Capabilities: map[string]capabilities.Capability{}, Inventory: a.Inventory}
	if a.cluster != nil {
		recorded.Inventory = func(resources []abi.ContextAwareResource) abi.Inventory {
			return recording.Inventory(a.cluster, &capabilities.Caller{Resources: resources, Secrets: true})
		}
	}
	for namespace, capability := range a.Capabilities {
		recorded.Capabilities[namespace] = recording.Capability(namespace, capability)
	}
	return recorded
}
