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

package loopback

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"

	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// target is the resource, or the subresource, that a write is for.
type target struct {
	schema.GroupResource
	subresource string
}

// write describes the writes that the apiserver makes to a target on its own initiative.
type write struct {
	operations []admission.Operation
	// namespaces are the namespaces of the objects. If there are none, any object matches.
	namespaces []string
	// named reports whether an object with this name matches. nil matches all.
	named func(string) bool
	// content checks further conditions. nil means none.
	content func(admission.Attributes) bool
}

const (
	create = admission.Create
	update = admission.Update
	remove = admission.Delete
)

func on(group, resource, subresource string) target {
	return target{schema.GroupResource{Group: group, Resource: resource}, subresource}
}

func names(all ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(all, name) }
}

// system returns a function that matches names with the prefix that Kubernetes reserves, and the
// other names.
func system(others ...string) func(string) bool {
	return func(name string) bool {
		return strings.HasPrefix(name, "system:") || slices.Contains(others, name)
	}
}

func operations(all ...admission.Operation) []admission.Operation { return all }

const rbac, flowControl, networking = "rbac.authorization.k8s.io", "flowcontrol.apiserver.k8s.io",
	"networking.k8s.io"

var (
	systemNamespaces = []string{"default", "kube-node-lease", "kube-public", "kube-system"}
	bootstrapRoles   = []string{"kube-public", "kube-system"}
)

// writes are those of Kubernetes 1.37. CONNECT is not one of them and never will be: whoever sends
// the body of such a request controls what happens behind it.
var writes = map[target]write{
	on("", "namespaces", ""): {operations: operations(create), namespaces: systemNamespaces},

	on("", "services", ""): {
		operations: operations(create, update), namespaces: []string{"default"},
		named: names("kubernetes"),
	},
	on("", "endpoints", ""): {
		operations: operations(create, update), namespaces: []string{"default"},
		named: names("kubernetes"),
	},
	on("discovery.k8s.io", "endpointslices", ""): {
		operations: operations(create, update, remove), namespaces: []string{"default"},
		named: names("kubernetes"),
	},
	on(networking, "servicecidrs", ""): {
		operations: operations(create, update), named: names("kubernetes"),
	},
	on(networking, "servicecidrs", "status"): {
		operations: operations(update), named: names("kubernetes"),
	},
	on(networking, "ipaddresses", ""): {operations: operations(create, remove)},
	on("coordination.k8s.io", "leases", ""): {
		operations: operations(create, update, remove), namespaces: []string{"kube-system"},
		named: ownLease,
	},
	on(rbac, "clusterroles", ""): {
		operations: operations(create, update),
		named:      system("admin", "cluster-admin", "edit", "view"),
	},
	on(rbac, "clusterrolebindings", ""): {
		operations: operations(create, update, remove), named: system("cluster-admin"),
	},
	on(rbac, "roles", ""): {
		operations: operations(create, update), namespaces: bootstrapRoles,
		named: system("extension-apiserver-authentication-reader"),
	},
	on(rbac, "rolebindings", ""): {
		operations: operations(create, update, remove), namespaces: bootstrapRoles, named: system(),
	},
	on("scheduling.k8s.io", "priorityclasses", ""): {
		operations: operations(create),
		named:      names("system-cluster-critical", "system-node-critical"),
	},

	on(flowControl, "flowschemas", ""): {
		operations: operations(create, update, remove), content: ofBootstrap(bootstrapFlowSchema),
	},
	on(flowControl, "flowschemas", "status"): {operations: operations(update)},
	on(flowControl, "prioritylevelconfigurations", ""): {
		operations: operations(create, update, remove),
		content:    ofBootstrap(bootstrapPriorityLevel),
	},

	on("apiregistration.k8s.io", "apiservices", ""): {
		operations: operations(create, update, remove), content: registersItself,
	},
	on("apiregistration.k8s.io", "apiservices",
		"status"): {operations: operations(update)},
	on("apiextensions.k8s.io", "customresourcedefinitions",
		"status"): {operations: operations(update)},
	on("internal.apiserver.k8s.io", "storageversions",
		""): {operations: operations(create)},
	on("internal.apiserver.k8s.io", "storageversions",
		"status"): {operations: operations(update)},

	on("", "configmaps", ""): {operations: operations(create, update, remove),
		namespaces: []string{"kube-system"}, named: names(
			"extension-apiserver-authentication",
			"kube-apiserver-legacy-service-account-token-tracking")},
	on("", "resourcequotas", "status"): {operations: operations(update)},
	on("", "secrets", ""): {
		operations: operations(update), content: tracksLegacyToken,
	},
}

// Writes reports whether a request is one of the writes that the apiserver makes on its own
// initiative. It does not look at the user.
func Writes(attr admission.Attributes) bool {
	w, known := writes[target{attr.GetResource().GroupResource(), attr.GetSubresource()}]
	switch {
	case !known, !slices.Contains(w.operations, attr.GetOperation()):
		return false
	case w.namespaces != nil && !slices.Contains(w.namespaces, attr.GetNamespace()):
		return false
	case w.named != nil && !w.named(attr.GetName()):
		return false
	}
	return w.content == nil || w.content(attr)
}

// ownLease matches the Leases by which apiservers identify themselves, and those in which package
// status publishes what they serve.
func ownLease(name string) bool {
	return strings.HasPrefix(name, "apiserver-") || strings.HasPrefix(name, status.NamePrefix)
}

func bootstrapFlowSchema(name string) bool {
	for _, schema := range bootstrap.MandatoryFlowSchemas {
		if schema.Name == name {
			return true
		}
	}
	for _, schema := range bootstrap.SuggestedFlowSchemas {
		if schema.Name == name {
			return true
		}
	}
	return false
}

func bootstrapPriorityLevel(name string) bool {
	for _, level := range bootstrap.MandatoryPriorityLevelConfigurations {
		if level.Name == name {
			return true
		}
	}
	for _, level := range bootstrap.SuggestedPriorityLevelConfigurations {
		if level.Name == name {
			return true
		}
	}
	return false
}
