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
	runtimego "runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"
)

func podUpdate() admission.Attributes {
	pod := func(image string) *corev1.Pod {
		return &corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
		}
	}
	return admission.NewAttributesRecord(pod("new"), pod("old"),
		corev1.SchemeGroupVersion.WithKind("Pod"), "ns", "p",
		corev1.SchemeGroupVersion.WithResource("pods"), "ephemeralcontainers", admission.Update,
		&metav1.UpdateOptions{
			TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"},
			DryRun:   []string{"All"},
		}, true,
		&user.DefaultInfo{
			Name:   "u",
			UID:    "1",
			Groups: []string{"g"},
			Extra:  map[string][]string{"k": {"v"}},
		})
}

func call(attr admission.Attributes) *generic.WebhookInvocation {
	return &generic.WebhookInvocation{
		Resource:    attr.GetResource(),
		Subresource: attr.GetSubresource(),
		Kind:        attr.GetKind(),
	}
}

// A policy gets the same fields as a webhook.
func TestReviewMatchesWebhook(t *testing.T) {
	attr := podUpdate()
	r := newRequest(attr, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	review, err := r.review(call(attr))
	require.NoError(t, err)

	versioned, err := r.VersionedAttribute(attr.GetKind())
	require.NoError(t, err)
	want, err := json.Marshal(webhookrequest.CreateV1AdmissionReview(r.uid, versioned, call(attr)).
		Request)
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(review.json))

	object, err := json.Marshal(versioned.VersionedObject.Object())
	require.NoError(t, err)
	require.Equal(t, string(object), string(review.object))
}

func TestReviewOmitsAbsentFields(t *testing.T) {
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
	}
	attr := admission.NewAttributesRecord(nil, pod, corev1.SchemeGroupVersion.WithKind("Pod"), "ns",
		"p", corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Delete, nil, false,
		&user.DefaultInfo{Name: "u"})
	review, err := newRequest(attr, admission.NewObjectInterfacesFromScheme(scheme.Scheme)).
		review(call(attr))
	require.NoError(t, err)
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(review.json, &fields))
	for _, absent := range []string{"object", "options", "subResource", "requestSubResource"} {
		require.NotContains(t, fields, absent)
	}
	require.Contains(t, fields, "oldObject")
	require.JSONEq(t, "false", string(fields["dryRun"]))
	var decoded admissionv1.AdmissionRequest
	require.NoError(t, json.Unmarshal(review.json, &decoded))
	require.NotEmpty(t, decoded.UID)
	require.Nil(t, review.object)
}

func TestReviewsAreEncodedOnce(t *testing.T) {
	attr := podUpdate()
	r := newRequest(attr, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	first, err := r.review(call(attr))
	require.NoError(t, err)
	second, err := r.review(call(attr))
	require.NoError(t, err)
	require.Same(t, first, second)

	other := call(attr)
	other.Resource.Version = "v2"
	third, err := r.review(other)
	require.NoError(t, err)
	require.NotSame(t, first, third)
	require.Equal(t, r.uid, uidOf(t, third))
}

// In reviews from other servers, the object is unchanged.
func TestReviewOfRawObjects(t *testing.T) {
	for object, want := range map[string]string{
		``:              `{"uid":"1",.*,"userInfo":{}}`,
		`{ "a" : "<" }`: `{"uid":"1",.*,"userInfo":{},"object":{ "a" : "<" }}`,
		`null`:          `{"uid":"1",.*,"userInfo":{},"object":null}`,
	} {
		full := &admissionv1.AdmissionRequest{UID: "1"}
		if object != "" {
			full.Object.Raw = []byte(object)
		}
		v := &review{}
		require.NoError(t, v.encode(full))
		require.Regexp(t, "^"+want+"$", string(v.json))
		require.Equal(t, object, string(v.object))
		full.OldObject.Raw = []byte(`{ "b" : 1 }`)
		require.NoError(t, v.encode(full))
		require.Regexp(t, "^"+want[:len(want)-1]+`,"oldObject":{"b":1}}$`, string(v.json))
		require.Equal(t, object, string(v.object))
	}
	v := &review{}
	require.Error(t,
		v.encode(&admissionv1.AdmissionRequest{
			OldObject: runtime.RawExtension{Raw: []byte("no JSON")},
		}))
}

// Concurrent and successive requests of any size do not mix their reviews. Very large reviews are
// not kept.
func TestReusedReviewsDoNotMix(t *testing.T) {
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for round := range 50 {
				name := strings.Repeat(strconv.Itoa(n), 1+round*round)
				pod := &corev1.Pod{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
					ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"},
				}
				attr := admission.NewAttributesRecord(pod, nil, pod.GroupVersionKind(), "ns", name,
					corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil,
					false, &user.DefaultInfo{Name: "u"})
				r := newRequest(attr, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
				written, err := r.review(call(attr))
				if err != nil {
					t.Error(err)
					return
				}
				runtimego.Gosched()
				var decoded corev1.Pod
				assert.True(t, json.Unmarshal(written.object, &decoded) == nil &&
					decoded.Name == name && json.Valid(written.json), name)
				r.done()
			}
		})
	}
	all.Wait()
	v := &review{json: make([]byte, 0, maxSpareBytes+1)}
	v.recycle()
	require.Nil(t, v.json)
}

func uidOf(t *testing.T, r *review) types.UID {
	t.Helper()
	var fields struct {
		UID types.UID `json:"uid"`
	}
	require.NoError(t, json.Unmarshal(r.json, &fields))
	return fields.UID
}
