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
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podResource = resource{
	GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "pods"},
	apiVersion:           "v1", kind: "Pod", namespaced: true,
}

// object returns an object in the form that a client decodes.
func object(namespace, name string, fields ...string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{
		Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{}},
	}
	u.SetNamespace(namespace)
	u.SetName(name)
	for _, field := range fields {
		u.Object[field] = field
	}
	return u
}

func TestEncode(t *testing.T) {
	m, _, err := parseMask([]string{"spec"})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		object string
		mask   mask
		want   string
	}{
		"whole": {`{"spec": {"x": "<&>"}, "metadata": {"namespace": "ns", "name": "n", "uid": "u"}, "kind": "Other"}`,
			nil,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"ns","name":"n","managedFields":[],"uid":"u"},"spec":{"x":"<&>"}}`},
		"stripped": {`{"metadata": {"name": "n", "managedFields": [{"manager": "m"}], "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}}`,
			nil,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n","annotations":{},"managedFields":[]}}`},
		"masked": {`{"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": 1, "status": 2, "apiVersion": "v1"}`,
			m,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n","labels":{"a":"b"},"managedFields":[]},"spec":1}`},
		"no name": {`{"metadata": {}}`, nil,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"","managedFields":[]}}`},
		"strange names": {`{"metadata": {"name": "a\"\\b", "namespace": "ä"}}`, nil,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"ä","name":"a\"\\b","managedFields":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			require.NoError(t, json.Unmarshal([]byte(test.object), &u.Object))
			namespace, name := u.GetNamespace(), u.GetName()
			e := newEncoder(podResource, test.mask)
			got, err := e.encode(u)
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
			inNamespace, named := e.identity(got)
			require.Equal(t, inner(namespace), string(inNamespace))
			require.Equal(t, inner(name), string(named))
		})
	}
	_, err = newEncoder(podResource, nil).
		encode(&unstructured.Unstructured{Object: map[string]any{"metadata": 1}})
	require.EqualError(t, err, "the object has no metadata")
}

// namesOf returns the identities of a response's items. It also checks the response.
func namesOf(t *testing.T, response []byte) []string {
	t.Helper()
	var decoded struct {
		APIVersion, Kind string
		Metadata         map[string]any
		Items            []unstructured.Unstructured
	}
	require.NoError(t, json.Unmarshal(response, &decoded), "%s", response)
	require.Equal(t, "v1", decoded.APIVersion)
	require.Equal(t, "PodList", decoded.Kind)
	require.NotNil(t, decoded.Metadata)
	require.NotNil(t, decoded.Items)
	names := []string{}
	for _, item := range decoded.Items {
		names = append(names, item.GetNamespace()+"/"+item.GetName())
	}
	return names
}

func TestListOfNothing(t *testing.T) {
	l := newList(newEncoder(podResource, nil))
	require.Empty(t, namesOf(t, l.response))
	require.Empty(t, namesOf(t, l.inNamespace("x")))
	same, err := l.with(nil)
	require.NoError(t, err)
	require.Equal(t, l.response, same.response)
}

// After any change, a list equals one that is built from a map of the objects.
func TestListWithChanges(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l, model := newList(newEncoder(podResource, nil)), map[string][]byte{}
	for round := range 500 {
		changes := map[identity][]byte{}
		for range random.IntN(6) {
			namespace, name := fmt.Sprintf("ns%d", random.IntN(4)),
				fmt.Sprintf("%d%s", random.IntN(30), strings.Repeat("x", random.IntN(2)))
			var encoded []byte
			if random.IntN(3) > 0 {
				var err error
				encoded, err = l.encode(object(namespace, name, fmt.Sprint("f", round)))
				require.NoError(t, err)
			}
			changes[identity{namespace, name}] = encoded
			if key := namespace + "/" + name; encoded == nil {
				delete(model, key)
			} else {
				model[key] = encoded
			}
		}
		var err error
		l, err = l.with(changes)
		require.NoError(t, err)
		require.Len(t, l.response, cap(l.response), "nothing is held in vain")
		names := namesOf(t, l.response)
		require.True(t, slices.IsSortedFunc(names, func(a, b string) int {
			return strings.Compare(strings.ReplaceAll(a, "/", "\x00"),
				strings.ReplaceAll(b, "/", "\x00"))
		}))
		require.Len(t, names, len(model))
		for n, name := range names {
			require.Equal(t, string(model[name]), string(l.object(n)))
		}
		for n := range 4 {
			namespace := fmt.Sprintf("ns%d", n)
			want := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
				return !strings.HasPrefix(name, namespace+"/")
			})
			require.Equal(t, want, namesOf(t, l.inNamespace(namespace)))
		}
	}
}

// Each encoded object is valid JSON, and can be found again by its identity.
func FuzzEncode(f *testing.F) {
	f.Add(maskedObject)
	f.Add(
		`{"metadata": {"name": "\\\"\u0000\ud800", "namespace": "</>", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x"}}, "": [1e400]}`)
	f.Add(`{"metadata": {"name": 1, "namespace": [], "annotations": 7}}`)
	f.Add(
		`{"metadata": {"name": "n", "annotations": {"labels": "{}"}, "labels": {"a": "b\\", "c\"": "\"", "": "}"}, "kk": [{}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		u := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(text), &u.Object) != nil || u.Object == nil {
			return
		}
		namespace, name, labeled := u.GetNamespace(), u.GetName(), u.GetLabels()
		e := newEncoder(podResource, nil)
		encoded, err := e.encode(u)
		if err != nil {
			return
		}
		inNamespace, named := e.identity(encoded)
		require.Equal(t, inner(namespace), string(inNamespace))
		require.Equal(t, inner(name), string(named))
		l, err := newList(e).
			with(map[identity][]byte{{string(inNamespace), string(named)}: encoded})
		require.NoError(t, err)
		require.Len(t, namesOf(t, l.response), 1)
		for key, value := range labeled {
			of := l.labelsOf(0)
			got, has := of.Lookup(key)
			if encoded := inner(key); encoded != key { // no selector names such a label
				continue
			}
			require.True(t, has, key)
			require.Equal(t, outer([]byte(inner(value))), got)
		}
	})
}

// FuzzPayloads decodes arbitrary payloads.
func FuzzPayloads(f *testing.F) {
	f.Add(
		`{"subject_access_review": {"user": "u", "groups": ["g"], "resource_attributes": {"resource": "pods", "verb": "list"}}}`)
	f.Add(
		`{"api_version": "v1", "kind": "Pod", "label_selector": "a in (b, c)", "field_selector": "a=b\\,c", "field_masks": ["x"]}`)
	f.Fuzz(func(t *testing.T, payload string) {
		review, list := canIRequest{}, listRequest{}
		if decode([]byte(payload), &review) == nil {
			if spec, err := review.spec(); err == nil {
				require.NotNil(t, spec.ResourceAttributes)
				require.True(t, spec.User != "" || len(spec.Groups) > 0)
			}
		}
		if decode([]byte(payload), &list) == nil {
			label, field, err := list.selectors()
			if err == nil {
				again := listRequest{LabelSelector: &label, FieldSelector: &field}
				sameLabel, sameField, err := again.selectors()
				require.NoError(t, err)
				require.Equal(t, [2]string{label, field}, [2]string{sameLabel, sameField},
					"selectors that mean the same are the same")
			}
		}
	})
}
