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

package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	kjson "sigs.k8s.io/json"
)

// reviewOf returns a review whose request has more fields.
func reviewOf(fields string) string {
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"` +
		fields + `}}`
}

// requireSame checks that a review decodes to the same with and without taking its objects out.
func requireSame(t *testing.T, data []byte) {
	t.Helper()
	var whole admissionv1.AdmissionReview
	wholeErr := kjson.UnmarshalCaseSensitivePreserveInts(data, &whole)
	review, err := unmarshal(data)
	if wholeErr != nil {
		require.Error(t, err)
		return
	}
	require.NoError(t, err)
	require.Equal(t, whole, review)
}

func TestReviewsAreOpened(t *testing.T) {
	pod, err := os.ReadFile("../../test/policies/testdata/pod-create-9k.json")
	require.NoError(t, err)
	for name, review := range map[string]string{
		"objects": reviewOf(
			`,"object":{"a":[1,-2.50e+3,"\u00e9",true,false,null,{}],"b":{}},"oldObject":{"c": [ ]},"options":{"d":""},"dryRun":true`),
		"nulls": reviewOf(`,"object":null,"oldObject":null,"options":null`),
		"space": " " +
			strings.ReplaceAll(reviewOf(`,"object" : { "a" : [ 1 , 2 ] }`), ",", "\n,\t") + "\r\n",
		"escapes inside": reviewOf(
			`,"object":{"\u0061\"\\":"\ud800 \/"},"userInfo":{"username":"\n"}`),
		"other field":  reviewOf(`,"subjects":{"object":{"a":1}}`),
		"not UTF-8":    reviewOf(",\"object\":{\"a\":\"\xff\"}"),
		"of no object": reviewOf(`,"object":5,"options":[{}]`),
		"a Pod": fmt.Sprintf(
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":%s}`,
			bytes.TrimSpace(pod)),
		"request elsewhere": `{"response":{"request":{"object":{}}},"request":{"uid":"u","object":{"request":{"object":{}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, opened := open([]byte(review))
			require.True(t, opened)
			requireSame(t, []byte(review))
		})
	}
}

// The general decoder decodes what the apiserver would not write.
func TestReviewsThatAreNotOpened(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	}
	for name, review := range map[string]string{
		"nothing":          "",
		"no object":        "[]",
		"no request":       "{}",
		"request of null":  `{"request":null}`,
		"two requests":     `{"request":{"uid":"a","object":{}},"request":{"uid":"b"}}`,
		"two objects":      reviewOf(`,"object":{"a":1},"object":{"b":2}`),
		"object and null":  reviewOf(`,"object":{"a":1},"object":null`),
		"object and text":  reviewOf(`,"object":{"a":1},"object":"b"`),
		"text and object":  reviewOf(`,"object":"b","object":{"a":1}`),
		"escaped name":     reviewOf(`,"\u006fbject":{"a":1}`),
		"more after it":    reviewOf("") + "{}",
		"cut":              reviewOf("")[:40],
		"comma at the end": reviewOf(`,"object":{"a":1,}`),
		"deep":             reviewOf(`,"object":{"a":` + nested(maxDepth) + "}"),
	} {
		t.Run(name, func(t *testing.T) {
			_, opened := open([]byte(review))
			require.False(t, opened)
			requireSame(t, []byte(review))
		})
	}
}

// A review that is cut at any byte, or has any byte replaced, decodes as before.
func TestDamagedReviews(t *testing.T) {
	review :=
		[]byte(reviewOf(
			`,"object":{"a":[1,-2.5e3,"\u00e9\\",true,null],"b":{}},"oldObject":{},"options":null`))
	for at := range review {
		requireSame(t, review[:at])
		for _, b := range []byte("\"\\{}[],:0e-. \x00n") {
			damaged := bytes.Clone(review)
			damaged[at] = b
			requireSame(t, damaged)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(reviewOf(`,"object":{"a":[1,2.5e3,"\u00e9"]},"options":{}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		requireSame(t, data)
		if e, opened := open(data); opened {
			require.True(t, json.Valid(data))
			for _, object := range [][]byte{e.object, e.oldObject, e.options} {
				require.True(t, object == nil || json.Valid(object))
			}
		}
	})
}
