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

package dispatch

import (
	"encoding/json"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// A guest's object is decoded only if the policy may mutate it, and not if it is far too large.
func TestMutatedObjectsAreComparedFirst(t *testing.T) {
	reviewed := &review{object: []byte(`{"a":[1,2]}`)}
	wanting := func(object string) mutation {
		return readMutation(reviewed, &abi.ValidationResponse{MutatedObject: []byte(object)})
	}
	require.Equal(t, mutation{change: verdict.Unchanged}, wanting(`{ "a": [1.0, 2] }`))
	large := `{"a":[` + strings.Repeat("0,", 1<<19) + `0]}`
	var m mutation
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	m = wanting(large)
	goruntime.ReadMemStats(&after)
	require.Equal(t, verdict.Changed, m.change)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*len(large)), "it was decoded")

	m = wanting(`{"a":[1,2,3,4,5,6]}`)
	require.NoError(t, m.bounded(0))
	m = wanting(`{"a":[1,2,3,4,5,6,7,8,9,10,11,12]}`)
	require.EqualError(t, m.bounded(0),
		"mutated object: has up to 15 values and names, at most 10 are allowed: twice as many as the request's object has, plus 0")
	require.NoError(t, m.bounded(5))
}

// Whatever a guest returns, the result is still the object of the request.
func FuzzMutatedObject(f *testing.F) {
	scheme := runtime.NewScheme()
	require.NoError(f, corev1.AddToScheme(scheme))
	require.NoError(f,
		scheme.AddConversionFunc((*corev1.Pod)(nil), (*corev1.Pod)(nil),
			func(a, b any, _ conversion.Scope) error {
				a.(*corev1.Pod).DeepCopyInto(b.(*corev1.Pod))
				return nil
			}))
	interfaces := admission.NewObjectInterfacesFromScheme(scheme)
	f.Add(
		[]byte(
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"ns"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1e3"}}}]}}`))
	f.Add(
		[]byte(
			`{"metadata":{"name":"p","namespace":"ns","managedFields":[{"fieldsV1":[]}],"creationTimestamp":"now"}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"PodList","items":[]}`))
	f.Add(
		[]byte(
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"ns"},"metadata":{"name":"q"}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, wanted []byte) {
		pod := &corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"},
		}
		r := newMutatingRequest(admission.NewAttributesRecord(pod, nil, pod.GroupVersionKind(),
			"ns", "p", corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil,
			false, nil),
			interfaces)
		versioned, err := r.VersionedAttribute(pod.GroupVersionKind())
		require.NoError(t, err)
		if _, _, err := r.change(wanted); err != nil {
			require.False(t, versioned.Dirty)
			return
		}
		require.NoError(t, r.mutable.finish())
		require.Equal(t, "ns/p", pod.Namespace+"/"+pod.Name)
		require.Equal(t, corev1.SchemeGroupVersion.WithKind("Pod"),
			versioned.VersionedObject.Object().GetObjectKind().GroupVersionKind())
	})
}

// BenchmarkReview encodes a request and compares the object that a policy returns.
func BenchmarkReview(b *testing.B) {
	object := map[string]any{
		"apiVersion": "example.com/v1",
		"kind":       "Thing",
		"metadata":   map[string]any{"name": "t", "namespace": "ns"},
	}
	for n := range 200 {
		object["field"+strconv.Itoa(n)] = map[string]any{
			"name":   "any",
			"values": []any{int64(n), "text", true},
		}
	}
	thing := &unstructured.Unstructured{Object: object}
	kind, resource := thing.GroupVersionKind(),
		schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "things"}
	attr := admission.NewAttributesRecord(thing, nil, kind, "ns", "t", resource, "",
		admission.Create, nil, false, &user.DefaultInfo{Name: "u"})
	call := &generic.WebhookInvocation{Kind: kind, Resource: resource}
	back, err := json.Marshal(thing)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		reviewed, err := newRequest(attr,
			admission.NewObjectInterfacesFromScheme(runtime.NewScheme())).review(call)
		require.NoError(b, err)
		require.Equal(b, verdict.Unchanged,
			readMutation(reviewed, &abi.ValidationResponse{MutatedObject: back}).change)
	}
}
