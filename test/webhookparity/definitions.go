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

package webhookparity

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"
)

// definitions are the custom resource definitions for the comparison. One has structural schemas in
// two versions, prunes unknown fields, and has defaults and a scale. The other one keeps
// everything.
const definitions = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.parity.example.com}
spec:
  group: parity.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              replicas: {type: integer}
              serial: {type: integer, format: int64}
              size: {type: integer, default: 3}
              ratio: {type: number}
              port: {x-kubernetes-int-or-string: true}
              nodeName: {type: string}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, weight: {type: integer, default: 1}}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, properties: {replicas: {type: integer}}}
  - name: v2
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: blobs.parity.example.com}
spec:
  group: parity.example.com
  scope: Namespaced
  names: {plural: blobs, singular: blob, kind: Blob, listKind: BlobList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

var definitionResource = schema.GroupVersionResource{
	Group:    "apiextensions.k8s.io",
	Version:  "v1",
	Resource: "customresourcedefinitions",
}

// define creates the custom resource definitions, and waits until the resources are served.
func (c *Comparison) define(ctx context.Context) error {
	client := c.dynamic.Resource(definitionResource)
	for text := range strings.SplitSeq(definitions, "---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
			return err
		}
		if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true,
			func(ctx context.Context) (bool, error) {
				current, err := client.Get(ctx, object.GetName(), metav1.GetOptions{})
				if err != nil {
					return false, err
				}
				// The conditions are null at first.
				conditions, _, _ := unstructured.NestedSlice(current.Object, "status", "conditions")
				for _, condition := range conditions {
					if m, ok := condition.(map[string]any); ok && m["type"] == "Established" &&
						m["status"] == "True" {
						return true, nil
					}
				}
				return false, nil
			})
		if err != nil {
			return fmt.Errorf("%s is not served: %w", object.GetName(), err)
		}
	}
	return nil
}

// In namespaces with this label, another mutator changes objects. It runs after the policies in
// process, which are therefore invoked again, and before the webhooks.
const (
	lateLabel      = "late"
	lateAnnotation = "example.com/late"
)

func (c *Comparison) addLatecomer(ctx context.Context) error {
	client := c.client.AdmissionregistrationV1()
	_, err := client.MutatingAdmissionPolicies().
		Create(ctx, &admissionregistrationv1.MutatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "latecomer"},
			Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
				ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
				MatchConstraints: &admissionregistrationv1.MatchResources{
					NamespaceSelector: &metav1.LabelSelector{
						MatchLabels: map[string]string{lateLabel: "yes"},
					},
					ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{
							admissionregistrationv1.Create,
						},
						Rule: admissionregistrationv1.Rule{
							APIGroups:   []string{"", "apps"},
							APIVersions: []string{"v1"},
							Resources:   []string{"pods", "deployments"},
						},
					}}},
				},
				Mutations: []admissionregistrationv1.Mutation{
					{
						PatchType: admissionregistrationv1.PatchTypeApplyConfiguration,
						ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
							Expression: `Object{metadata: Object.metadata{annotations: {"` +
								lateAnnotation + `": "yes"}}}`,
						},
					},
					{
						PatchType: admissionregistrationv1.PatchTypeJSONPatch,
						JSONPatch: &admissionregistrationv1.JSONPatch{
							Expression: `object.kind == "Deployment" ? [JSONPatch{op: "replace", path: "/spec/replicas", value: 50}] : []`,
						},
					},
				},
			},
		}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = client.MutatingAdmissionPolicyBindings().
		Create(ctx, &admissionregistrationv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "latecomer"},
			Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{
				PolicyName: "latecomer",
			},
		}, metav1.CreateOptions{})
	return err
}
