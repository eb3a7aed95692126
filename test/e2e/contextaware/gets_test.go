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

package contextaware

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

func (l *looker) get(t *testing.T, payload string) *unstructured.Unstructured {
	t.Helper()
	answer, err := l.call(t, "get_resource", payload)
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, json.Unmarshal(answer, &object.Object), "%s", answer)
	return object
}

func TestGetIsLiveAndWhole(t *testing.T) {
	l := newLooker(t, options(), configMaps, namespaces)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "c", nil)
	payload := `{"api_version": "v1", "kind": "ConfigMap", "name": "c", "namespace": "` + ns +
		`", "disable_cache": %t, "field_masks": %s}`
	object := l.get(t, fmt.Sprintf(payload, false, "null"))
	require.Equal(t, map[string]any{"a": "1", "b": "2"}, object.Object["data"])
	require.NotEmpty(t, object.GetManagedFields(), "get_resource must not strip fields")
	require.Contains(t, object.GetAnnotations(), "kubectl.kubernetes.io/last-applied-configuration")

	_, err := server.Clientset().CoreV1().ConfigMaps(ns).Patch(t.Context(), "c",
		types.MergePatchType, []byte(`{"data": {"a": "changed"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	masked := l.get(t, fmt.Sprintf(payload, false, `["data.a"]`))
	require.Equal(t, map[string]any{"a": "1"}, masked.Object["data"],
		"the cache must contain the whole object")
	require.Equal(t, map[string]any{"a": "changed", "b": "2"},
		l.get(t, fmt.Sprintf(payload, true, "[]")).Object["data"])
	require.Equal(t, ns, l.get(t, `{"api_version": "v1", "kind": "Namespace", "name": "`+ns+`"}`).
		GetName(), "without disable_cache")
}

func TestGetErrors(t *testing.T) {
	gone := abi.ContextAwareResource{APIVersion: "example.com/v1", Kind: "Gone"}
	l := newLooker(t, options(), configMaps, namespaces, gone)
	for name, test := range map[string]struct{ operation, payload, err string }{
		"not found": {"get_resource",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "none", "namespace": "default"}`,
			`Callback evaluation failure: Cannot find v1/ConfigMap named 'none' inside of namespace 'Some("default")'`},
		"not found in the cluster": {"get_resource",
			`{"api_version": "v1", "kind": "Namespace", "name": "none"}`,
			`Callback evaluation failure: Cannot find v1/Namespace named 'none' inside of namespace 'None'`},
		"no namespace": {"get_resource",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "none"}`,
			`Callback evaluation failure: Resource v1/ConfigMap is namespaced, but no namespace was provided`},
		"cluster wide": {"get_resource",
			`{"api_version": "v1", "kind": "Namespace", "name": "default", "namespace": "default"}`,
			`Callback evaluation failure: resource v1/Namespace is cluster wide. Cannot search for it inside of a namespace`},
		"list of a cluster-scoped kind in a namespace": {"list_resources_by_namespace",
			`{"api_version": "v1", "kind": "Namespace", "namespace": "default"}`,
			`Callback evaluation failure: resource v1/Namespace is cluster wide. Cannot search for it inside of a namespace`},
		"no kind": {"get_resource",
			`{"api_version": "example.com/v1", "kind": "Gone", "name": "none"}`,
			`Callback evaluation failure: Cannot find resource example.com/v1/Gone`},
		"list without namespace": {"list_resources_by_namespace",
			`{"api_version": "v1", "kind": "ConfigMap"}`, "missing field `namespace`"},
		"not granted": {"get_resource",
			`{"api_version": "v1", "kind": "Pod", "name": "p", "namespace": "default"}`,
			`Policy has not been granted access to Kubernetes v1/Pod resources. The violation has been reported.`},
		"not granted, list": {"list_resources_all",
			`{"api_version": "apps/v1", "kind": "Deployment"}`,
			`Policy has not been granted access to Kubernetes apps/v1/Deployment resources. The violation has been reported.`},
		"other case": {"list_resources_all", `{"api_version": "v1", "kind": "configmap"}`,
			`Policy has not been granted access to Kubernetes v1/configmap resources. The violation has been reported.`},
		"unknown": {"get_resources", `{}`, "unknown operation: get_resources"},
		"no payload": {"get_resource", ``,
			"cannot read the payload: unexpected end of JSON input"},
		"empty": {"get_resource", `{}`, "missing field `api_version`"},
		"traversal": {"get_resource",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "../../secrets/x", "namespace": "default"}`,
			`Callback evaluation failure: name "../../secrets/x" may not contain '/'`},
		"traversal 2": {"get_resource",
			`{"api_version": "v1", "kind": "ConfigMap", "name": "x", "namespace": ".."}`,
			`Callback evaluation failure: namespace ".." may not be '..'`},
		"label": {"list_resources_all",
			`{"api_version": "v1", "kind": "ConfigMap", "label_selector": "a in"}`,
			"Callback evaluation failure: label_selector: unable to parse requirement: found '' expected: '('"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.call(t, test.operation, test.payload)
			require.EqualError(t, err, test.err)
		})
	}
	_, err := l.call(t, "list_resources_all",
		`{"api_version": "v1", "kind": "ConfigMap", "field_selector": "data.x=y"}`)
	require.ErrorContains(t, err, `the list of v1/ConfigMap: `)
	require.ErrorContains(t, err, `"data.x" is not a known field selector`)
}

func TestCanI(t *testing.T) {
	direct := options()
	direct.Authorizer, direct.User = nil, nil
	for name, l := range map[string]*looker{
		"authorizer": newLooker(t, options()),
		"server":     newLooker(t, direct),
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(payload string) map[string]any {
				answer, err := l.call(t, "can_i", payload)
				require.NoError(t, err)
				status := map[string]any{}
				require.NoError(t, json.Unmarshal(answer, &status))
				return status
			}
			require.Equal(t, map[string]any{"allowed": false},
				ask(
					`{"subject_access_review": {"user": "nobody", "resource_attributes": {"resource": "pods", "verb": "list", "namespace": "default"}}, "disable_cache": true}`))
			require.Equal(t, map[string]any{"allowed": false},
				ask(
					`{"subject_access_review": {"user": "nobody", "groups": null, "resourceAttributes": {"resource": "pods", "verb": "list"}}}`),
				"as the Go SDK spells it")
			masters :=
				ask(
					`{"subject_access_review": {"user": "nobody", "groups": ["system:masters"], "resource_attributes": {"resource": "pods", "verb": "delete", "group": "", "name": "x", "subresource": "log", "version": "v1"}}, "disable_cache": false}`)
			require.Equal(t, true, masters["allowed"])
			for payload, want := range map[string]string{
				`{}`: "missing field `subject_access_review`",
				`{"subject_access_review": {"resource_attributes": {"resource": "pods", "verb": "list"}}}`:             "missing field `user`",
				`{"subject_access_review": {"user": "x"}}`:                                                             "missing field `resource_attributes`",
				`{"subject_access_review": {"user": "x", "resource_attributes": {"resource": "pods"}}}`:                "missing field `verb`",
				`{"subject_access_review": {"user": "x", "resource_attributes": {"verb": "list"}}}`:                    "missing field `resource`",
				`{"subject_access_review": {"user": "", "resource_attributes": {"resource": "pods", "verb": "list"}}}`: "at least one of user and groups must not be empty",
				`{"subject_access_review": {"user": "x", "resource_attributes": {}, "resourceAttributes": {}}}`:        "duplicate field `resource_attributes`",
			} {
				_, err := l.call(t, "can_i", payload)
				require.EqualError(t, err, want, payload)
			}
		})
	}
}
