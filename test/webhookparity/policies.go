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

// Package webhookparity compares the objects that a mutating policy produces in process with those
// that it produces behind bin/wasm-admission-webhook, on the same apiserver, with the same module,
// settings and reinvocation policy.
package webhookparity

import (
	"encoding/json"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// Labels of the compared namespaces: which policies apply, and how they are evaluated.
const (
	variantLabel = "parity"
	byLabel      = "by"

	inProcess = "process"
	byWebhook = "webhook"
)

// policy is a policy of a variant.
type policy struct {
	name, module, settings string
	reinvocation           admissionregistrationv1.ReinvocationPolicyType
}

const full = `{"labels":{"team":"none"},"annotations":{"example.com/seen":"yes"},"sidecar":{"name":"proxy","image":"registry.example.com/proxy:2","ports":[{"containerPort":9}]},` +
	`"remove":["spec.nodeName","spec.externalName","metadata.annotations.secret"],"maximums":{"spec.replicas":10,"spec.template.spec.terminationGracePeriodSeconds":60,"spec.size":5}}`

// variants are the sets of policies that cases choose from. A variant's policies are sorted by
// name, which is the order of evaluation.
var variants = map[string][]policy{
	"full": {{"full", "add-defaults", full, admissionregistrationv1.IfNeededReinvocationPolicy}},
	"two": {
		{"two-a", "add-defaults",
			`{"labels":{"first":"a"},"maximums":{"spec.replicas":7},"sidecar":{"name":"first","image":"registry.example.com/first:1"}}`,
			admissionregistrationv1.NeverReinvocationPolicy},
		{"two-b", "add-defaults",
			`{"labels":{"first":"b","second":"b"},"maximums":{"spec.replicas":3},"sidecar":{"name":"second","image":"registry.example.com/second:1"}}`,
			admissionregistrationv1.IfNeededReinvocationPolicy},
	},
	// This variant makes objects invalid.
	"breaking": {{"breaking", "add-defaults",
		`{"remove":["spec.containers","spec.selector","spec.ports"],"labels":{"not a label!":"x"}}`,
		admissionregistrationv1.IfNeededReinvocationPolicy}},
	"nonsense": {{"nonsense", "answer",
		`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"n"},"data":5}}`,
		admissionregistrationv1.IfNeededReinvocationPolicy}},
	"denying": {{"denying", "answer",
		`{"accepted":false,"code":418,"message":"no","mutated_object":{}}`,
		admissionregistrationv1.IfNeededReinvocationPolicy}},
}

// rules returns the rules of all policies.
func rules() []admissionregistrationv1.RuleWithOperations {
	rule := func(group string, resources ...string) admissionregistrationv1.RuleWithOperations {
		return admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{
				admissionregistrationv1.Create, admissionregistrationv1.Update,
			},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{group},
				APIVersions: []string{"v1"},
				Resources:   resources,
			},
		}
	}
	return []admissionregistrationv1.RuleWithOperations{
		rule("", "configmaps", "pods", "services"),
		rule("apps", "daemonsets", "deployments", "deployments/scale", "statefulsets"),
		rule("batch", "cronjobs", "jobs"),
		rule("parity.example.com", "widgets", "widgets/scale", "blobs"),
	}
}

func selector(variant, by string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{variantLabel: variant, byLabel: by}}
}

// Configuration returns the AdmissionConfiguration of a server for the comparison. modules is the
// directory with the policies' modules.
func Configuration(modules string) (string, error) {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
		"plugins": []any{
			map[string]any{
				"name":          "WasmAdmission",
				"configuration": configuration(modules, inProcess),
			},
		},
	})
	return string(text), err
}

// configuration returns a configuration that evaluates the policies only in namespaces with the
// given label value.
func configuration(modules, by string) v1alpha1.WasmAdmissionConfiguration {
	config := v1alpha1.WasmAdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       "WasmAdmissionConfiguration",
		},
	}
	for variant, policies := range variants {
		for _, p := range policies {
			config.Policies = append(config.Policies, v1alpha1.Policy{
				Name:               p.name,
				Module:             "file://" + modules + "/" + p.module + ".wasm",
				Settings:           runtime.RawExtension{Raw: json.RawMessage(p.settings)},
				Mutating:           true,
				ReinvocationPolicy: p.reinvocation,
				NamespaceSelector:  selector(variant, by),
				Rules:              rules(),
			})
		}
	}
	return config
}
