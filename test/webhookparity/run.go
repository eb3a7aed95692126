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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// Case is a sequence of requests that runs twice: in a namespace whose policies are evaluated in
// process, and in one whose policies are behind webhooks.
type Case struct {
	// Name is unique.
	Name string

	variant  string // "" is full
	late     bool   // another mutator is involved
	resource schema.GroupVersionResource
	steps    []step
}

// step is one request. Its object is YAML or a patch.
type step struct {
	verb        string
	object      string
	subresource string
	manager     string
}

// Run runs a case twice and returns the difference between the results, or "". An error means that
// the results cannot be compared.
func (c *Comparison) Run(ctx context.Context, test Case) (difference string, err error) {
	variant := cmp.Or(test.variant, "full")
	var results [2][]string
	for n, by := range []string{inProcess, byWebhook} {
		namespace, err := c.namespace(ctx, variant, by, test.late)
		if err != nil {
			return "", err
		}
		if results[n], err = c.do(ctx, test, namespace); err != nil {
			return "", fmt.Errorf("%s, %s: %w", test.Name, by, err)
		}
	}
	if len(results[0]) != len(results[1]) {
		return fmt.Sprintf("in process: %q; behind a webhook: %q", results[0], results[1]), nil
	}
	for n := range results[0] {
		if results[0][n] != results[1][n] {
			return fmt.Sprintf("step %d: in process: %s; behind a webhook: %s", n, results[0][n],
				results[1][n]), nil
		}
	}
	return "", nil
}

// do runs the steps of a case in a namespace, and returns the result of each: the object, without
// the fields that always differ, or the code of an error. The last result is the stored object.
func (c *Comparison) do(ctx context.Context, test Case, namespace string) ([]string, error) {
	client := c.dynamic.Resource(test.resource).Namespace(namespace)
	var results []string
	name := ""
	for _, s := range test.steps {
		object, err := s.take(ctx, client, name)
		if err != nil {
			var status apierrors.APIStatus
			if !errors.As(err, &status) {
				return nil, err
			}
			results = append(results, fmt.Sprintf("error %d", status.Status().Code))
			continue
		}
		if name == "" {
			name = object.GetName()
		}
		text, err := normalized(object, namespace)
		if err != nil {
			return nil, err
		}
		results = append(results, text)
	}
	stored, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for n := range stored.Items {
		text, err := normalized(&stored.Items[n], namespace)
		if err != nil {
			return nil, err
		}
		results = append(results, text)
	}
	return append(results, fmt.Sprintf("%d objects", len(stored.Items))), nil
}

// patchTypes are the patch types of the verbs that patch.
var patchTypes = map[string]types.PatchType{
	"merge": types.MergePatchType, "strategic": types.StrategicMergePatchType,
	"json":  types.JSONPatchType,
	"apply": types.ApplyYAMLPatchType, "force": types.ApplyYAMLPatchType,
}

func (s *step) take(ctx context.Context, client dynamic.ResourceInterface,
	name string) (*unstructured.Unstructured, error) {
	subresources := strings.Fields(s.subresource)
	manager := cmp.Or(s.manager, "parity")
	if kind, ok := patchTypes[s.verb]; ok {
		options := metav1.PatchOptions{FieldManager: manager}
		if s.verb == "force" {
			options.Force = new(true)
		}
		return client.Patch(ctx, cmp.Or(name, "a"), kind, []byte(s.object), options,
			subresources...)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(s.object), &object.Object); err != nil {
		return nil, err
	}
	switch s.verb {
	case "create":
		return client.Create(ctx, object, metav1.CreateOptions{FieldManager: manager})
	case "dry-run":
		return client.Create(ctx, object,
			metav1.CreateOptions{FieldManager: manager, DryRun: []string{metav1.DryRunAll}})
	case "update":
		current, err := client.Get(ctx, name, metav1.GetOptions{}, subresources...)
		if err != nil {
			return nil, err
		}
		object.SetResourceVersion(current.GetResourceVersion())
		return client.Update(ctx, object, metav1.UpdateOptions{FieldManager: manager},
			subresources...)
	}
	return nil, fmt.Errorf("unknown verb %q", s.verb)
}

// normalized returns an object as text, without the fields that always differ.
func normalized(object *unstructured.Unstructured, namespace string) (string, error) {
	object = object.DeepCopy()
	uid := string(object.GetUID())
	generated := ""
	if prefix := object.GetGenerateName(); prefix != "" {
		generated = object.GetName()
	}
	for _, name := range []string{"resourceVersion", "creationTimestamp", "uid"} {
		unstructured.RemoveNestedField(object.Object, "metadata", name)
	}
	for _, name := range []string{"clusterIP", "clusterIPs", "healthCheckNodePort"} {
		if value, _, _ := unstructured.NestedString(object.Object, "spec", name); value != "None" {
			unstructured.RemoveNestedField(object.Object, "spec", name)
		}
	}
	ports, _, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", "ports")
	if ports, ok := ports.([]any); ok {
		for _, port := range ports {
			if port, ok := port.(map[string]any); ok {
				delete(port, "nodePort")
			}
		}
	}
	managers := object.GetManagedFields()
	for n := range managers {
		managers[n].Time = nil
	}
	slices.SortFunc(managers, func(a, b metav1.ManagedFieldsEntry) int {
		return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Operation, b.Operation),
			cmp.Compare(a.Subresource, b.Subresource))
	})
	object.SetManagedFields(managers)
	data, err := json.Marshal(object.Object)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(string(data), namespace, "NAMESPACE")
	for old, replacement := range map[string]string{uid: "UID", generated: "GENERATED"} {
		if old != "" {
			text = strings.ReplaceAll(text, old, replacement)
		}
	}
	return text, nil
}
