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

package kubewarden

import (
	"encoding/json"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// object is a custom resource with a spec of one of the types below. Decoding ignores its status,
// and its metadata except for name and namespace.
type object[T any] struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	Spec       T               `json:"spec"`
	Status     json.RawMessage `json:"status"`
}

// The specs of policies.kubewarden.io, composed of the parts that they share.
type (
	clusterPolicySpec struct {
		matching
		clusterWide
		evaluated
		contextAware
		Mutating *bool `json:"mutating"`
	}
	policySpec struct {
		matching
		evaluated
		Mutating *bool `json:"mutating"`
	}
	clusterGroupSpec struct {
		matching
		clusterWide
		Expression string                   `json:"expression"`
		Policies   map[string]clusterMember `json:"policies"`
	}
	groupSpec struct {
		matching
		Expression string               `json:"expression"`
		Policies   map[string]evaluated `json:"policies"`
	}
	// clusterMember has no embedded fields, because the decoder's messages would name them.
	clusterMember struct {
		Module                string                 `json:"module"`
		Settings              runtime.RawExtension   `json:"settings"`
		TimeoutEvalSeconds    *int32                 `json:"timeoutEvalSeconds"`
		ContextAwareResources []contextAwareResource `json:"contextAwareResources"`
	}
)

// matching holds the fields that all policies and groups have.
type matching struct {
	Rules           []admissionregistrationv1.RuleWithOperations `json:"rules"`
	FailurePolicy   *admissionregistrationv1.FailurePolicyType   `json:"failurePolicy"`
	MatchPolicy     *admissionregistrationv1.MatchPolicyType     `json:"matchPolicy"`
	MatchConditions []admissionregistrationv1.MatchCondition     `json:"matchConditions"`
	ObjectSelector  *metav1.LabelSelector                        `json:"objectSelector"`
	Mode            *wasmadmission.PolicyMode                    `json:"mode"`
	Message         string                                       `json:"message"`
	PolicyServer    *string                                      `json:"policyServer"`
	SideEffects     *admissionregistrationv1.SideEffectClass     `json:"sideEffects"`
	TimeoutSeconds  *int32                                       `json:"timeoutSeconds"`
	BackgroundAudit *bool                                        `json:"backgroundAudit"`
}

// clusterWide holds the further fields of policies and groups for the whole cluster.
type clusterWide struct {
	NamespaceSelector                       *metav1.LabelSelector `json:"namespaceSelector"`
	AllowInsideAdmissionControllerNamespace *bool                 `json:"allowInsideAdmissionControllerNamespace"`
}

// evaluated holds the fields that policies and members of groups have.
type evaluated struct {
	Module             string               `json:"module"`
	Settings           runtime.RawExtension `json:"settings"`
	TimeoutEvalSeconds *int32               `json:"timeoutEvalSeconds"`
}

// contextAware holds the further fields of policies for the whole cluster.
type contextAware struct {
	ContextAwareResources []contextAwareResource `json:"contextAwareResources"`
}

type contextAwareResource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}
