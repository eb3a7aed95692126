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

package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// When a request makes the apiserver change other objects, these changes are not evaluated, as with
// webhooks. A rule for these objects does not see them, but a rule for the request does.
func TestConsequencesAreNotEvaluated(t *testing.T) {
	server := harness.Start(t,
		harness.Options{FeatureGate: true,
			AdmissionConfig: admissionConfiguration(modules(t), `policies:
- name: objects
  module: MODULES/deny.wasm
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [UPDATE, DELETE]}
  - {apiGroups: [example.com], apiVersions: ["*"], resources: ["*"], operations: [DELETE]}
- name: ways
  module: MODULES/deny.wasm
  objectSelector: {matchLabels: {guarded: "yes"}}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods/eviction, pods/binding], operations: [CREATE]}
  - {apiGroups: [apiextensions.k8s.io], apiVersions: ["*"], resources: [customresourcedefinitions], operations: [DELETE]}`)})

	guarded := map[string]string{"guarded": "yes"}
	t.Run("eviction", func(t *testing.T) {
		pods := server.Clientset().CoreV1().Pods("default")
		_, err := pods.Create(t.Context(), pod("evicted", "example.com/a:1"),
			metav1.CreateOptions{})
		require.NoError(t, err)
		require.ErrorContains(t, pods.Delete(t.Context(), "evicted", metav1.DeleteOptions{}),
			`policy "objects" denied`)
		eviction := &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: "evicted", Labels: guarded},
		}
		require.ErrorContains(t, pods.EvictV1(t.Context(), eviction), `policy "ways" denied`)
		eviction.Labels = nil
		require.NoError(t, pods.EvictV1(t.Context(), eviction))
		_, err = pods.Get(t.Context(), "evicted", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	})
	t.Run("binding", func(t *testing.T) {
		pods := server.Clientset().CoreV1().Pods("default")
		created, err := pods.Create(t.Context(), pod("bound", "example.com/a:1"),
			metav1.CreateOptions{})
		require.NoError(t, err)
		created.Annotations = map[string]string{"by": "update"}
		_, err = pods.Update(t.Context(), created, metav1.UpdateOptions{})
		require.ErrorContains(t, err, `policy "objects" denied`)
		binding := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{
				Name:        "bound",
				Labels:      guarded,
				Annotations: map[string]string{"by": "binding"},
			},
			Target: corev1.ObjectReference{Kind: "Node", Name: "any"},
		}
		require.ErrorContains(t, pods.Bind(t.Context(), binding, metav1.CreateOptions{}),
			`policy "ways" denied`)
		binding.Labels = nil
		require.NoError(t, pods.Bind(t.Context(), binding, metav1.CreateOptions{}))
		found, err := pods.Get(t.Context(), "bound", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, "binding", found.Annotations["by"])
	})
	t.Run("definition", func(t *testing.T) {
		things := server.Dynamic().
			Resource(schema.GroupVersionResource{
				Group:    "example.com",
				Version:  "v1",
				Resource: "things",
			}).Namespace("default")
		define(t, server)
		thing := &unstructured.Unstructured{
			Object: map[string]any{
				"apiVersion": "example.com/v1",
				"kind":       "Thing",
				"metadata":   map[string]any{"name": "any"},
			},
		}
		eventually(t, func(ctx context.Context) bool {
			_, err := things.Create(ctx, thing, metav1.CreateOptions{})
			return err == nil
		})
		require.ErrorContains(t, things.Delete(t.Context(), "any", metav1.DeleteOptions{}),
			`policy "objects" denied`)

		all := server.Dynamic().Resource(definitions)
		err := all.Delete(t.Context(), "things.example.com", metav1.DeleteOptions{})
		require.ErrorContains(t, err, `policy "ways" denied`)
		definition, err := all.Get(t.Context(), "things.example.com", metav1.GetOptions{})
		require.NoError(t, err)
		definition.SetLabels(nil)
		_, err = all.Update(t.Context(), definition, metav1.UpdateOptions{})
		require.NoError(t, err)
		require.NoError(t, all.Delete(t.Context(), "things.example.com", metav1.DeleteOptions{}))
		eventually(t, func(ctx context.Context) bool {
			// The definition is gone once its objects are gone.
			_, err := all.Get(ctx, "things.example.com", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	})
}

// define creates a custom resource definition for things, labeled as guarded.
func define(t *testing.T, server *harness.Server) {
	t.Helper()
	var definition unstructured.Unstructured
	require.NoError(t,
		json.Unmarshal(
			[]byte(
				`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.example.com","labels":{"guarded":"yes"}},"spec":{
		"group":"example.com","scope":"Namespaced","names":{"plural":"things","kind":"Thing"},
		"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`), &definition.Object))
	_, err := server.Dynamic().Resource(definitions).Create(t.Context(), &definition,
		metav1.CreateOptions{})
	require.NoError(t, err)
}

func eventually(t *testing.T, done func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			return done(ctx), nil
		})
	require.NoError(t, err)
}
