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
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestListsFollowTheCluster(t *testing.T) {
	l := newLooker(t, options(), configMaps)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "one", map[string]string{"app": "x"})
	byNamespace :=
		fmt.Sprintf(`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q, "unknown": 1}`, ns)
	require.Equal(t, []string{ns + "/one"}, l.names(t, "list_resources_by_namespace", byNamespace))
	require.Contains(t,
		l.names(t, "list_resources_all", `{"api_version": "v1", "kind": "ConfigMap"}`), ns+"/one")

	newConfigMap(t, ns, "two", nil)
	eventually(t, func() bool {
		return len(l.names(t, "list_resources_by_namespace", byNamespace)) == 2
	}, "created")
	require.Equal(t, []string{ns + "/one", ns + "/two"},
		l.names(t, "list_resources_by_namespace", byNamespace))

	require.NoError(t,
		server.Clientset().CoreV1().ConfigMaps(ns).Delete(t.Context(), "one",
			metav1.DeleteOptions{}))
	eventually(t, func() bool {
		return len(l.names(t, "list_resources_by_namespace", byNamespace)) == 1
	}, "deleted")
	require.Equal(t, []string{ns + "/two"}, l.names(t, "list_resources_by_namespace", byNamespace))
}

func TestListsAreStripped(t *testing.T) {
	l := newLooker(t, options(), configMaps)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "applied", nil)
	items := l.items(t, "list_resources_by_namespace",
		fmt.Sprintf(`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q}`, ns))
	require.Len(t, items, 1)
	require.Equal(t, "ConfigMap", items[0].GetKind())
	require.Equal(t, "v1", items[0].GetAPIVersion())
	require.Equal(t, map[string]string{"kept": "<&>"}, items[0].GetAnnotations())
	require.Equal(t, []any{}, items[0].Object["metadata"].(map[string]any)["managedFields"])
	require.Equal(t, map[string]any{"a": "1", "b": "2"}, items[0].Object["data"])
	require.NotEmpty(t, items[0].GetUID())
}

func TestSelectorsAndMasks(t *testing.T) {
	l := newLooker(t, options(), configMaps)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "labelled", map[string]string{"app": "x"})
	newConfigMap(t, ns, "other", map[string]string{"app": "y"})
	for name, test := range map[string]struct {
		query string
		want  []string
	}{
		"label":           {`"label_selector": "app=x"`, []string{"labelled"}},
		"label set":       {`"label_selector": "app in (y, x)"`, []string{"labelled", "other"}},
		"label, no match": {`"label_selector": "app=z"`, []string{}},
		"field":           {`"field_selector": "metadata.name=other"`, []string{"other"}},
		"both": {`"label_selector": "app=x", "field_selector": "metadata.name=other"`,
			[]string{}},
		"null": {`"label_selector": null, "field_selector": null, "field_masks": null`,
			[]string{"labelled", "other"}},
		"neither": {`"label_selector": "", "field_selector": "", "field_masks": []`,
			[]string{"labelled", "other"}},
		"mask and a label": {`"label_selector": "app=x", "field_masks": ["data.a"]`,
			[]string{"labelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			for _, name := range test.want {
				want = append(want, ns+"/"+name)
			}
			require.Equal(t, want, l.names(t, "list_resources_by_namespace",
				fmt.Sprintf(`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q, %s}`, ns,
					test.query)))
		})
	}

	items := l.items(t, "list_resources_by_namespace",
		fmt.Sprintf(
			`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q, "label_selector": "app=x", "field_masks": ["data.a", "immutable"]}`,
			ns))
	require.Equal(t, map[string]any{"a": "1"}, items[0].Object["data"])
	require.Equal(t, "labelled", items[0].GetName())
	require.Equal(t, map[string]string{"app": "x"}, items[0].GetLabels())
}

// Selectors that the capability applies itself choose the same objects as the server would, and
// selectors that the server refuses are errors.
func TestSelectorsChooseAsTheServerDoes(t *testing.T) {
	l := newLooker(t, options(), configMaps)
	ns, other := newNamespace(t, nil), newNamespace(t, nil)
	newConfigMap(t, ns, "none", nil)
	newConfigMap(t, ns, "x", map[string]string{"app": "x", "tier": "1"})
	newConfigMap(t, ns, "y", map[string]string{"app": "y", "example.com/tier": "2"})
	newConfigMap(t, ns, "empty", map[string]string{"app": ""})
	newConfigMap(t, other, "x", map[string]string{"app": "x", "tier": "2"})
	for _, selectors := range [][2]string{
		{"", ""}, {"app=x", ""}, {"app==x", ""}, {"app!=x", ""}, {"app in (x, y)", ""},
		{"app notin (x)", ""}, {"app", ""}, {"!app", ""},
		{"app=", ""}, {"app!=", ""}, {"app in (,y)", ""}, {"tier>1", ""}, {"tier<2", ""},
		{"app=x,tier!=1", ""}, {"example.com/tier=2", ""},
		{"no-such-label", ""}, {"app in x", ""}, {"app=x y", ""}, {"/=x", ""}, {"app=-", ""},
		{"", "metadata.name=x"}, {"", "metadata.name==x"}, {"", "metadata.name!=x"},
		{"", "metadata.name="}, {"", "metadata.name=a/b"},
		{"", "metadata.namespace=" + other}, {"", "metadata.namespace!=" + other},
		{"", "metadata.namespace=" + other + ",metadata.name=x"},
		{"app=x", "metadata.name!=y"}, {"app=y", "metadata.name=x"}, {"", "metadata.name"},
		{"", "data.a=1"}, {"app=x", "metadata.uid=1"},
	} {
		options := metav1.ListOptions{LabelSelector: selectors[0], FieldSelector: selectors[1]}
		for operation, in := range map[string]string{
			"list_resources_all":          "",
			"list_resources_by_namespace": ns,
		} {
			payload :=
				fmt.Sprintf(
					`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q, "label_selector": %q, "field_selector": %q}`,
					in, selectors[0], selectors[1])
			served, err := server.Clientset().CoreV1().ConfigMaps(in).List(t.Context(), options)
			if err != nil {
				_, err := l.call(t, operation, payload)
				require.Error(t, err, "%v", selectors)
				continue
			}
			want := []string{}
			for _, item := range served.Items {
				want = append(want, item.Namespace+"/"+item.Name)
			}
			eventually(t, func() bool { return slices.Equal(want, l.names(t, operation, payload)) },
				fmt.Sprint(operation, selectors, want))
		}
	}
}

// A different label selector on each request neither waits nor fails.
func TestABurstOfSelectorsIsAnswered(t *testing.T) {
	l := newLooker(t, options(), configMaps)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "x", map[string]string{"app": "x"})
	errs := make(chan error)
	for n := range 220 {
		go func() {
			_, err := l.Call(t.Context(), &l.caller, "list_resources_all",
				fmt.Appendf(nil,
					`{"api_version": "v1", "kind": "ConfigMap", "label_selector": "app!=x%d"}`, n))
			errs <- err
		}()
	}
	for range 220 {
		require.NoError(t, <-errs)
	}
}
