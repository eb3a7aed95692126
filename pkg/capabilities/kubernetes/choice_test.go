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
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// labeled returns a list of objects with the given metadata in JSON.
func labeled(t testing.TB, m mask, metadata ...string) *list {
	t.Helper()
	changes := map[identity][]byte{}
	l := newList(newEncoder(podResource, m))
	for _, text := range metadata {
		u := &unstructured.Unstructured{}
		require.NoError(t,
			json.Unmarshal([]byte(`{"metadata": `+text+`, "spec": {"labels": {"app": "wrong"}}}`),
				&u.Object))
		i := identity{inner(u.GetNamespace()), inner(u.GetName())}
		encoded, err := l.encode(u)
		require.NoError(t, err)
		changes[i] = encoded
	}
	l, err := l.with(changes)
	require.NoError(t, err)
	return l
}

// chooseNames returns the names of the objects that a selector chooses.
func (l *list) chooseNames(t *testing.T, label, field, namespace string) []string {
	t.Helper()
	c, err := newChoice(label, field)
	require.NoError(t, err)
	require.NotNil(t, c)
	response, _, err := l.choose(t.Context(), c, namespace)
	require.NoError(t, err)
	return namesOf(t, response)
}

var selectorTests = []string{
	"", "app=x", "app==x", "app!=x", "app in (x,y)", "app notin (x)", "app", "!app", "app=",
	"app!=", "app in (,x)",
	"app=x,tier=1", "app,!tier", "tier>1", "tier<2", "example.com/a=b", "a=b", "pp=x", "ap=x",
	"labels=x", "app=annotation",
}

func TestLabelsAreSelectedAsApimachineryDoes(t *testing.T) {
	m, _, err := parseMask([]string{"status"})
	require.NoError(t, err)
	metadata := []string{
		`{"namespace": "a", "name": "none"}`,
		`{"namespace": "a", "name": "empty", "labels": {}}`,
		`{"namespace": "a", "name": "null", "labels": null}`,
		`{"namespace": "a", "name": "x", "labels": {"app": "x", "tier": "1"}}`,
		`{"namespace": "b", "name": "y", "labels": {"app": "y", "tier": "2"}}`,
		`{"namespace": "b", "name": "no-value", "labels": {"app": "", "example.com/a": "b"}}`,
		`{"namespace": "b", "name": "tier", "labels": {"tier": "text"}}`,
		`{"namespace": "c", "name": "annotated", "annotations": {"labels": "{\"app\":\"x\"}", "app": "x"}, "generateName": "x", "finalizers": ["labels"], "labels": {"zone": "app"}}`,
		`{"namespace": "c", "name": "escaped", "labels": {"a\"\\": "}", "weird": "\",\"app\":\"x", "app": "x", "zzz": "\\"}}`,
		`{"namespace": "c", "name": "no-text", "labels": {"app": 1}}`,
		`{"namespace": "c", "name": "nested", "annotations": {"x": {"labels": {"app": "x"}}}, "labels": {"app": {"app": "x"}}}`,
		`{"namespace": "c", "name": "no-object", "labels": ["app"]}`,
	}
	for _, m := range []mask{nil, m} {
		l := labeled(t, m, metadata...)
		for _, text := range selectorTests {
			selector, err := labels.Parse(text)
			require.NoError(t, err)
			for _, namespace := range []string{"", "a", "c", "d"} {
				want := []string{}
				for n := range l.spans {
					u := &unstructured.Unstructured{}
					require.NoError(t, json.Unmarshal(l.object(n), &u.Object))
					if selector.Matches(labels.Set(u.GetLabels())) &&
						(namespace == "" || namespace == u.GetNamespace()) {
						want = append(want, u.GetNamespace()+"/"+u.GetName())
					}
				}
				require.Equal(t, want, l.chooseNames(t, text, "", namespace), "%q in %q", text,
					namespace)
			}
		}
	}
}

func TestFieldsAreSelected(t *testing.T) {
	l := labeled(t, nil, `{"namespace": "a", "name": "x", "labels": {"app": "x"}}`,
		`{"namespace": "a", "name": "y"}`, `{"namespace": "b", "name": "x"}`, `{"name": "ä\"\\"}`)
	for _, test := range []struct {
		label, field string
		want         []string
	}{
		{"", "metadata.name=x", []string{"a/x", "b/x"}},
		{"", "metadata.name!=x", []string{"/ä\"\\", "a/y"}},
		{"", "metadata.name=x,metadata.namespace=b", []string{"b/x"}},
		{"", "metadata.namespace=", []string{"/ä\"\\"}},
		{"", fields.OneTermEqualSelector(nameField, "ä\"\\").String(), []string{"/ä\"\\"}},
		{"app", "metadata.name=x", []string{"a/x"}},
		{"app", "metadata.name=y", []string{}},
	} {
		require.Equal(t, test.want, l.chooseNames(t, test.label, test.field, ""), "%+v", test)
	}
	pods, nodes := podResource, resource{}
	for field, want := range map[string][2]bool{
		"": {true, true}, "metadata.name=x": {true, true}, "metadata.namespace=x": {true, false},
		"metadata.name!=x,metadata.namespace!=y": {true, false}, "spec.nodeName=x": {},
		"metadata.name=x,spec.nodeName=y": {}, "metadata.labels=x": {},
	} {
		require.Equal(t, want, [2]bool{appliesHere(field, &pods), appliesHere(field, &nodes)},
			field)
	}
}

// A choice reads like a list that contains only the chosen objects.
func TestChoicesReadAsListsDo(t *testing.T) {
	x, y, z := `{"namespace": "a", "name": "x", "labels": {"app": "x"}}`,
		`{"namespace": "a", "name": "y", "labels": {"app": "y"}}`, `{"namespace": "b", "name": "z", "labels": {"app": "x"}}`
	l := labeled(t, nil, z, y, x)
	for label, of := range map[string][]string{
		"":      {x, y, z},
		"app=x": {x, z},
		"app=y": {y},
		"app=z": {},
	} {
		c, err := newChoice(label, "")
		require.NoError(t, err)
		response, _, err := l.choose(t.Context(), c, "")
		require.NoError(t, err)
		require.Equal(t, string(labeled(t, nil, of...).response), string(response))
	}
}

func TestLabelsMoveWithTheirObjects(t *testing.T) {
	l := labeled(t, nil, `{"namespace": "b", "name": "b", "labels": {"app": "x"}}`,
		`{"namespace": "c", "name": "c", "labels": {"app": "x"}}`,
		`{"namespace": "d", "name": "d"}`)
	require.Equal(t, []string{"b/b", "c/c"}, l.chooseNames(t, "app=x", "", ""))
	l, err := l.with(map[identity][]byte{
		{"a", "a"}: labeled(t, nil, `{"namespace": "a", "name": "a", "labels": {"app": "x"}}`).
			object(0),
		{"b", "b"}: nil,
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a/a", "c/c"}, l.chooseNames(t, "app=x", "", ""))
	require.Equal(t, []string{"d/d"}, l.chooseNames(t, "!app", "", ""))
}

func TestChoicesAreRememberedWithinBounds(t *testing.T) {
	l := labeled(t, nil, `{"namespace": "a", "name": "a", "labels": {"app": "x"}}`)
	before := l.size()
	choose := func(label string) ([]byte, bool) {
		c, err := newChoice(label, "")
		require.NoError(t, err)
		response, remembered, err := l.choose(t.Context(), c, "")
		require.NoError(t, err)
		return response, remembered
	}
	first, remembered := choose("app=x")
	require.True(t, remembered)
	require.Greater(t, l.size(), before+int64(len(first)), "what is remembered counts")
	again, remembered := choose("app=x")
	require.False(t, remembered)
	require.Same(t, &first[0], &again[0], "shared")
	for n := range 2000 {
		choose(fmt.Sprintf("app!=x%d", n))
		require.LessOrEqual(t, l.size(), before+minChoices)
	}
	require.Less(t, len(l.choices.responses), minChoices/choiceOverhead)
	require.False(t, l.choices.put("large", make([]byte, minChoices), minChoices),
		"one that is too large is not")
}

// Choosing objects ends when its context ends, because a guest waits for it.
func TestChoosingIsBounded(t *testing.T) {
	text := "a0"
	for n := 1; n < maxRequirements; n++ {
		text += fmt.Sprintf(",a%d", n)
	}
	c, err := newChoice(text, "")
	require.NoError(t, err)
	require.NotNil(t, c)
	c, err = newChoice(text, "metadata.name=x")
	require.NoError(t, err)
	require.Nil(t, c, "the server selects")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err = newChoice("app=x", "")
	require.NoError(t, err)
	_, _, err = labeled(t, nil, `{"namespace": "a", "name": "a"}`).choose(ctx, c, "")
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkChoose measures the selection of one percent of 10,000 pods: the first time after a
// change, and all later times.
func BenchmarkChoose(b *testing.B) {
	changes := map[identity][]byte{}
	l := newList(newEncoder(podResource, nil))
	for n := range 10_000 {
		u := pod(b, n)
		u.SetLabels(map[string]string{
			"app.kubernetes.io/name": fmt.Sprint("app-", n%100),
			"pod-template-hash":      fmt.Sprint(n),
			"zone":                   "a",
		})
		i := identity{u.GetNamespace(), u.GetName()}
		encoded, err := l.encode(u)
		require.NoError(b, err)
		changes[i] = encoded
	}
	l, err := l.with(changes)
	require.NoError(b, err)
	for name, test := range map[string]struct{ label, field string }{
		"label": {"app.kubernetes.io/name=app-7", ""}, "name": {"", "metadata.name=pod-7"},
		"set": {"app.kubernetes.io/name in (app-7,app-8),zone!=b,!other", ""},
	} {
		c, err := newChoice(test.label, test.field)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := l.chosen(b.Context(), c, 0, len(l.spans))
				require.NoError(b, err)
			}
		})
		b.Run(name+"-again", func(b *testing.B) {
			for b.Loop() {
				_, _, err := l.choose(b.Context(), c, "")
				require.NoError(b, err)
			}
		})
	}
}
