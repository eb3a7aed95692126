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

package rego

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// unhurried returns a patcher without limits on time and work.
func unhurried(limit int64) patcher {
	return patcher{limit: limit, left: maxPatchWork, goOn: func() error { return nil }}
}

const reviewed = `{"object":{"a":1,"b":[1,2]}}`

func TestDecodeReview(t *testing.T) {
	patched := func(patch string) string {
		return fmt.Sprintf(
			`[{"result":{"response":{"allowed":true,"patchType":"JSONPatch","patch":%q}}}]`,
			base64.StdEncoding.EncodeToString([]byte(patch)))
	}
	for _, test := range []struct {
		name, data, request string
		want                abi.ValidationResponse
		err                 string
	}{
		{name: "accepted", data: accepts, want: abi.ValidationResponse{Accepted: true}},
		{name: "everything",
			data: `[{"result":{"kind":"AdmissionReview","response":{"uid":"x","allowed":false,"status":{"message":"no","code":418},"auditAnnotations":{"k":"v"},"warnings":["w"]}}}]`,
			want: abi.ValidationResponse{
				Message:          "no",
				Code:             418,
				AuditAnnotations: map[string]string{"k": "v"},
				Warnings:         []string{"w"},
			}},
		{name: "whole status",
			data: `[{"result":{"response":{"allowed":false,"status":{"status":"Failure","reason":"Conflict","details":{"name":"n","group":"g","kind":"k","uid":"u","causes":[{"reason":"r","message":"m","field":"f"}],"retryAfterSeconds":7},"code":409}}}}]`,
			want: abi.ValidationResponse{
				Reason: "Conflict",
				Code:   409,
				Details: &metav1.StatusDetails{
					Name:              "n",
					Group:             "g",
					Kind:              "k",
					UID:               "u",
					RetryAfterSeconds: 7,
					Causes:            []metav1.StatusCause{{Type: "r", Message: "m", Field: "f"}},
				},
			}},
		{name: "status as Kubewarden spells it",
			data: `[{"result":{"response":{"allowed":false,"status":{"message":null,"reason":null,"details":{"name":null,"causes":null,"retry_after_seconds":7}}}}}]`,
			want: abi.ValidationResponse{Details: &metav1.StatusDetails{RetryAfterSeconds: 7}}},
		{
			name: "details of another type",
			data: `[{"result":{"response":{"allowed":false,"status":{"details":"none"}}}}]`,
			err:  "cannot unmarshal string",
		},
		{
			name: "nulls",
			data: `[{"result":{"response":{"allowed":true,"status":null,"patch":null,"patchType":null,"warnings":null}}}]`,
			want: abi.ValidationResponse{Accepted: true},
		},
		{
			name: "patch", data: patched(`[{"op":"replace","path":"/a","value":9007199254740993}]`),
			want: abi.ValidationResponse{
				Accepted:      true,
				Patch:         []byte(`[{"op":"replace","path":"/a","value":9007199254740993}]`),
				MutatedObject: json.RawMessage(`{"a":9007199254740993,"b":[1,2]}`),
			},
		},
		{
			name: "patch with copies",
			data: patched(
				`[{"op":"copy","from":"/a","path":"/c"},{"op":"remove","path":"/a"},{"op":"copy","from":"/c","path":"/a"}]`),
			want: abi.ValidationResponse{
				Accepted: true,
				Patch: []byte(
					`[{"op":"copy","from":"/a","path":"/c"},{"op":"remove","path":"/a"},{"op":"copy","from":"/c","path":"/a"}]`),
				MutatedObject: json.RawMessage(`{"a":1,"b":[1,2],"c":1}`),
			},
		},
		{name: "empty patch", data: patched(`[]`), want: abi.ValidationResponse{Accepted: true}},
		{
			name: "patch of nothing", request: `{"object":null}`,
			data: patched(`[{"op":"remove","path":"/a"}]`), want: abi.ValidationResponse{
				Accepted:      true,
				Patch:         []byte(`[{"op":"remove","path":"/a"}]`),
				MutatedObject: json.RawMessage(`{}`),
			},
		},
		{name: "undefined", data: `[]`, err: "the policy's entrypoint is undefined"},
		{name: "no result", data: `[{}]`, err: "missing field `result`"},
		{name: "null result", data: `[{"result":null}]`, err: "missing field `result`"},
		{name: "no response", data: `[{"result":{}}]`, err: "missing field `response`"},
		{
			name: "no verdict", data: `[{"result":{"response":{"Allowed":true}}}]`,
			err: "missing field `allowed`",
		},
		{name: "no object", data: `[{"result":true}]`, err: "cannot unmarshal bool"},
		{name: "no array", data: `{"result":{}}`, err: "cannot unmarshal object"},
		{name: "no JSON", data: `undefined`, err: "invalid character"},
		{name: "no UTF-8", data: "[{\"result\":\"\xff\"}]", err: "not UTF-8"},
		{name: "deep", data: strings.Repeat("[", 100_000), err: "exceeded max depth"},
		{
			name: "many parts", data: `[{"result":[` + strings.Repeat(`1,`, maxParts) + `1]}]`,
			err: "parts of a result, at most 200000 are allowed",
		},
		{
			name: "patch of many parts",
			data: patched(`[` + strings.Repeat(`{},`, maxParts) + `{}]`),
			err:  "patch: limit exceeded: 400003 parts of a patch, at most 200000 are allowed",
		},
		{
			name: "code out of range",
			data: `[{"result":{"response":{"allowed":true,"status":{"code":65536}}}}]`,
			err:  "code 65536 is out of range",
		},
		{
			name: "patch without type",
			data: `[{"result":{"response":{"allowed":true,"patch":"W10="}}}]`,
			err:  "patchType must be JSONPatch if there is a patch",
		},
		{
			name: "patch of another type",
			data: `[{"result":{"response":{"allowed":true,"patch":"W10=","patchType":"Merge"}}}]`,
			err:  "patchType must be JSONPatch",
		},
		{
			name: "patch that is not base64",
			data: `[{"result":{"response":{"allowed":true,"patch":"[]","patchType":"JSONPatch"}}}]`,
			err:  "illegal base64 data",
		},
		{
			name: "patch that is none", data: patched(`{}`),
			err: "patch: json: cannot unmarshal object",
		},
		{name: "patch with a null", data: patched(`[null]`), err: "patch: "},
		{name: "patch without a path", data: patched(`[{"op":"add","value":1}]`), err: "patch: "},
		{
			name: "patch of what is not there", data: patched(`[{"op":"remove","path":"/x/y"}]`),
			err: "patch: ",
		},
		{
			name: "patch far out", data: patched(`[{"op":"add","path":"/b/1000000000","value":1}]`),
			err: "patch: ",
		},
		{
			name: "patch that doubles",
			data: patched(`[` + strings.Repeat(`{"op":"copy","from":"/b","path":"/b/-"},`, 50) +
				`{"op":"test","path":"/a","value":1}]`), err: "at most 1000 are allowed",
		},
		{
			name: "patch with many operations",
			data: patched(`[{}` + strings.Repeat(`,{}`, maxPatchOperations) + `]`),
			err:  "patch: 10001 operations, at most 10000 are allowed",
		},
		{
			name: "patch with many copies",
			data: patched(`[` +
				strings.Repeat(`{"op":"copy","from":"/a","path":"/c"},`, maxPatchCopies) +
				`{"op":"copy","from":"/a","path":"/c"}]`), err: "patch: more than 100 copies",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.request == "" {
				test.request = reviewed
			}
			got, err := decodeReview([]byte(test.data), []byte(test.request), unhurried(1000))
			if test.err != "" {
				require.ErrorContains(t, err,
					"invalid response from policy: cannot interpret OPA policy result: ")
				require.ErrorContains(t, err, test.err)
				require.ErrorAs(t, err, new(*abi.ResponseError))
				return
			}
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
		})
	}
}

// The cost of array operations grows with the number of operations and the size of the array.
func TestPatchesAreBounded(t *testing.T) {
	object := func(elements int) []byte {
		return []byte(`{"object":{"b":[` + strings.Repeat(`1,`, elements) + `1]}}`)
	}
	patch := func(operations int) []byte {
		return []byte(`[` + strings.Repeat(`{"op":"remove","path":"/b/0"},`, operations-1) +
			`{"op":"remove","path":"/b/0"}]`)
	}
	steps := 0
	p := patcher{limit: 1 << 20, left: maxPatchWork, goOn: func() error { steps++; return nil }}
	got, err := p.patchObject(object(100_000), patch(400))
	require.NoError(t, err)
	require.Len(t, got, 2*100_001-800+7)
	require.Equal(t, 2, steps, "the time is looked at in between")

	_, err = p.patchObject(object(maxParts), patch(1))
	require.ErrorContains(t, err,
		"patch: limit exceeded: 200004 parts of an object, at most 200000 are allowed")

	p = patcher{limit: 1 << 20, left: 1 << 18, goOn: func() error { return nil }}
	_, err = p.patchObject(object(1000), patch(100))
	require.ErrorContains(t, err, "patch: ")
	limit := (*engine.LimitError)(nil)
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "operations by bytes of object and patch", limit.Limit)

	p = patcher{
		limit: 1 << 20,
		left:  maxPatchWork,
		goOn:  func() error { return context.DeadlineExceeded },
	}
	_, err = p.patchObject(object(1), patch(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestPatchingEndsWithTheEvaluation(t *testing.T) {
	up := &engine.Error{Cause: engine.CauseDeadline, Err: context.DeadlineExceeded}
	p := patcher{limit: 1000, left: maxPatchWork, goOn: func() error { return up }}
	data :=
		fmt.Sprintf(`[{"result":{"response":{"allowed":true,"patchType":"JSONPatch","patch":%q}}}]`,
			base64.StdEncoding.EncodeToString([]byte(`[{"op":"remove","path":"/a"}]`)))
	_, err := decodeReview([]byte(data), []byte(reviewed), p)
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	require.NotErrorAs(t, err, new(*abi.ResponseError))
}

func TestDecodeViolations(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       abi.ValidationResponse
		err        string
	}{
		{name: "none", data: `[{"result":[]}]`, want: abi.ValidationResponse{Accepted: true}},
		{
			name: "two", data: `[{"result":[{"msg":"a","details":{}},{"msg":"b"}]}]`,
			want: abi.ValidationResponse{Message: "a, b"},
		},
		{
			name: "without a message",
			data: `[{"result":[{"details":1},{"msg":"b"},{"msg":null}]}]`,
			want: abi.ValidationResponse{Message: "b"},
		},
		{name: "without any message", data: `[{"result":[{}]}]`},
		// Kubewarden takes this for an acceptance.
		{name: "undefined", data: `[]`, err: "the policy's entrypoint is undefined"},
		{name: "no result", data: `[{"results":[]}]`, err: "missing field `result`"},
		{name: "null", data: `[{"result":null}]`, err: "missing field `result`"},
		{name: "an object", data: `[{"result":{}}]`, err: "cannot unmarshal object"},
		{name: "a verdict", data: `[{"result":true}]`, err: "cannot unmarshal bool"},
		{
			name: "a text", data: `[{"result":["no"]}]`,
			err: "violation 0: json: cannot unmarshal string",
		},
		{
			name: "a null", data: `[{"result":[{},null]}]`,
			err: "violation 1: null is not a violation",
		},
		{
			name: "many", data: `[{"result":[` + strings.Repeat(`{},`, maxParts) + `{}]}]`,
			err: "parts of a result",
		},
		{
			name: "a message of another type", data: `[{"result":[{"msg":1}]}]`,
			err: "violation 0: json: cannot unmarshal number",
		},
		{name: "nothing", data: ``, err: "unexpected end of JSON input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeViolations([]byte(test.data))
			if test.err != "" {
				require.ErrorContains(t, err,
					"invalid response from policy: cannot interpret Gatekeeper policy result: ")
				require.ErrorContains(t, err, test.err)
				require.ErrorAs(t, err, new(*abi.ResponseError))
				return
			}
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
		})
	}
}

func FuzzDecodeReview(f *testing.F) {
	f.Add([]byte(accepts))
	f.Add(
		[]byte(
			`[{"result":{"response":{"allowed":true,"status":{"message":"m","reason":"r","details":{"causes":[{"field":"f"}],"retry_after_seconds":1},"code":1},"patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2MiLCJ2YWx1ZSI6MX1d"}}}]`))
	f.Add([]byte(`[{"result":[{"msg":"a"}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		response, err := decodeReview(data, []byte(reviewed), unhurried(1000))
		require.Equal(t, err == nil, response != nil)
		if response != nil && response.MutatedObject != nil {
			require.True(t, json.Valid(response.MutatedObject))
			require.LessOrEqual(t, len(response.MutatedObject), 1000)
		}
		response, err = decodeViolations(data)
		require.Equal(t, err == nil, response != nil)
	})
}

func FuzzPatchObject(f *testing.F) {
	f.Add(
		[]byte(
			`[{"op":"copy","from":"/a","path":"/c"},{"op":"move","from":"/b/0","path":"/b/-"},{"op":"test","path":"/a","value":1}]`))
	f.Add([]byte(`[{"op":"add","path":"","value":{}},{"op":"replace","path":"/a","value":null}]`))
	f.Fuzz(func(t *testing.T, patch []byte) {
		p := unhurried(1000)
		if object, err := p.patchObject([]byte(reviewed), patch); err == nil && object != nil {
			require.True(t, json.Valid(object))
			require.LessOrEqual(t, len(object), 1000)
		}
	})
}
