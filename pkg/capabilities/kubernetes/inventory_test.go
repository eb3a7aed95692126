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

package kubernetes

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// partOf builds a part from objects, given as pairs of namespace and name.
func partOf(t *testing.T, apiVersion, kind, plural string, namespaced bool,
	objects ...[2]string) part {
	t.Helper()
	of, err := schema.ParseGroupVersion(apiVersion)
	require.NoError(t, err)
	r := resource{
		GroupVersionResource: of.WithResource(plural),
		apiVersion:           apiVersion,
		kind:                 kind,
		namespaced:           namespaced,
	}
	changes := map[identity][]byte{}
	l := newList(newEncoder(r, nil))
	for _, o := range objects {
		encoded, err := l.encode(object(o[0], o[1]))
		require.NoError(t, err)
		changes[identity{inner(o[0]), inner(o[1])}] = encoded
	}
	l, err = l.with(changes)
	require.NoError(t, err)
	return part{r, l}
}

func TestInventoryShapes(t *testing.T) {
	pods := func(objects ...[2]string) part {
		return partOf(t, "v1", "Pod", "pods", true, objects...)
	}
	p := func(apiVersion, kind, namespace, name string) string {
		if namespace != "" {
			namespace = `"namespace": "` + namespace + `", `
		}
		return `"` + name + `": {"apiVersion": "` + apiVersion + `", "kind": "` + kind +
			`", "metadata": {` + namespace + `"name": "` + name + `", "managedFields": []}}`
	}
	for name, test := range map[string]struct {
		parts           []part
		opa, gatekeeper string
	}{
		"nothing": {nil, `{}`, `{"cluster": {}, "namespace": {}}`},
		"no objects": {[]part{pods(), partOf(t, "v1", "Node", "nodes", false)},
			`{"pods": {}, "nodes": {}}`, `{"cluster": {}, "namespace": {}}`},
		"both scopes": {[]part{
			partOf(t, "v1", "Node", "nodes", false, [2]string{"", "n1"}, [2]string{"", "n2"}),
			pods([2]string{"a", "x"}, [2]string{"b", "x"}, [2]string{"a", "y"}),
		},
			`{"nodes": {` + p("v1", "Node", "", "n1") + `, ` + p("v1", "Node", "", "n2") + `},
				"pods": {"a": {` + p("v1", "Pod", "a", "x") + `, ` + p("v1", "Pod", "a", "y") + `}, "b": {` + p("v1", "Pod", "b", "x") + `}}}`,
			`{"cluster": {"v1": {"Node": {` + p("v1", "Node", "", "n1") + `, ` +
				p("v1", "Node", "", "n2") + `}}},
				"namespace": {"a": {"v1": {"Pod": {` + p("v1", "Pod", "a", "x") + `, ` + p("v1", "Pod", "a", "y") + `}}}, "b": {"v1": {"Pod": {` + p("v1", "Pod", "b", "x") + `}}}}}`},
		"kinds of a version": {[]part{
			partOf(t, "apps/v1", "DaemonSet", "daemonsets", true, [2]string{"a", "d"}),
			partOf(t, "apps/v1", "Deployment", "deployments", true, [2]string{"a", "d"}),
			pods([2]string{"a", "d"}),
		},
			`{"daemonsets": {"a": {` + p("apps/v1", "DaemonSet", "a", "d") +
				`}}, "deployments": {"a": {` + p("apps/v1", "Deployment", "a", "d") +
				`}}, "pods": {"a": {` + p("v1", "Pod", "a", "d") + `}}}`,
			`{"cluster": {}, "namespace": {"a": {"apps/v1": {"DaemonSet": {` +
				p("apps/v1", "DaemonSet", "a", "d") + `}, "Deployment": {` +
				p("apps/v1", "Deployment", "a", "d") + `}}, "v1": {"Pod": {` +
				p("v1", "Pod", "a", "d") + `}}}}}`},
		"the same plural": {[]part{
			partOf(t, "a/v1", "Ingress", "ingresses", true, [2]string{"a", "x"},
				[2]string{"a", "y"}),
			partOf(t, "b/v1", "Ingress", "ingresses", true, [2]string{"a", "x"},
				[2]string{"b", "z"}),
		},
			`{"ingresses": {"a": {` + p("a/v1", "Ingress", "a", "y") + `, ` +
				p("b/v1", "Ingress", "a", "x") + `}, "b": {` + p("b/v1", "Ingress", "b", "z") +
				`}}}`,
			`{"cluster": {}, "namespace": {"a": {"a/v1": {"Ingress": {` +
				p("a/v1", "Ingress", "a", "x") + `, ` + p("a/v1", "Ingress", "a", "y") +
				`}}, "b/v1": {"Ingress": {` + p("b/v1", "Ingress", "a", "x") + `}}},
				"b": {"b/v1": {"Ingress": {` + p("b/v1", "Ingress", "b", "z") + `}}}}}`},
		"strange names": {[]part{partOf(t, "v1", "Node", "nodes", false, [2]string{"", `a\"b`})},
			`{"nodes": {"a\\\"b": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a\\\"b", "managedFields": []}}}}`,
			`{"cluster": {"v1": {"Node": {"a\\\"b": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a\\\"b", "managedFields": []}}}}}, "namespace": {}}`},
	} {
		t.Run(name, func(t *testing.T) {
			opa, err := opaDocument(test.parts)
			require.NoError(t, err)
			require.JSONEq(t, test.opa, string(opa))
			gatekeeper, err := gatekeeperDocument(test.parts)
			require.NoError(t, err)
			require.JSONEq(t, test.gatekeeper, string(gatekeeper))
		})
	}

	_, err := opaDocument([]part{pods(), partOf(t, "example.com/v1", "Pod", "pods", false)})
	require.EqualError(t, err,
		"v1/Pod and example.com/v1/Pod cannot be read by one policy: both are called pods, but one is namespaced and the other is not")
}
