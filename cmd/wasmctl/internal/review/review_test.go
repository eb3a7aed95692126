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

package review_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

const (
	head   = `"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","userInfo":{}`
	create = `{` + head + `,"object":{"metadata":{"name":"a"},"n":9007199254740993}}`
)

func TestParseRequest(t *testing.T) {
	for name, test := range map[string]struct{ data, want, err string }{
		"bare": {data: create, want: create},
		"review": {
			data: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":` +
				create + `}`, want: create,
		},
		"review without it": {data: `{"request":` + create + `}`, want: create},
		"nulls and unknown": {
			data: `{` + head +
				`,"object":null,"oldObject":null,"options":null,"dryRun":null,"name":null,"more":1}`,
			want: `{` + head + `}`,
		},
		"all fields": {
			data: `{` + head +
				`,"subResource":"status","requestKind":{"group":"g","version":"v","kind":"K"},"requestResource":{"group":"g","version":"v","resource":"r"},"requestSubResource":"s",
				"name":"n","namespace":"m","oldObject":{"a":[1]},"dryRun":false,"options":{"kind":"CreateOptions"}}`,
			want: `{` + head +
				`,"subResource":"status","requestKind":{"group":"g","version":"v","kind":"K"},"requestResource":{"group":"g","version":"v","resource":"r"},"requestSubResource":"s",
				"name":"n","namespace":"m","oldObject":{"a":[1]},"dryRun":false,"options":{"kind":"CreateOptions"}}`,
		},
		"nothing": {data: ``, err: "the request is not a JSON object"},
		"list":    {data: `[]`, err: "the request is not a JSON object"},
		"empty": {
			data: `{}`,
			err:  "the request is not an AdmissionRequest: missing field `uid`, `kind`, `resource`, `operation`, `userInfo`",
		},
		"an object": {
			data: `{"apiVersion":"v1","kind":"Pod","metadata":{}}`,
			err:  "the request is not an AdmissionRequest",
		},
		"wrong type": {
			data: `{` + head + `,"namespace":1}`,
			err:  "the request is not an AdmissionRequest: namespace: number does not fit: write a string",
		},
		"empty review": {
			data: `{"kind":"AdmissionReview","request":null}`,
			err:  "the request is an AdmissionReview without a request: write request",
		},
		"more values": {data: create + `{}`, err: "the request is not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := review.ParseRequest([]byte(test.data))
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.JSONEq(t, test.want, string(request.JSON))
			require.Equal(t, "u", request.UID)
		})
	}
}

func TestParseRawRequest(t *testing.T) {
	const text = `{ "uid": "u", "request": null }`
	request, err := review.ParseRawRequest([]byte(text))
	require.NoError(t, err)
	require.Equal(t, "u", request.UID)
	require.JSONEq(t, text, string(request.JSON))
	require.Len(t, request.JSON, len(text), "as it came, with its spaces")

	request, err = review.ParseRawRequest([]byte(`{"uid":1}`))
	require.NoError(t, err)
	require.Empty(t, request.UID)

	_, err = review.ParseRawRequest([]byte(`[]`))
	require.EqualError(t, err, "the request is not an object: write fields with values")
	_, err = review.ParseRawRequest([]byte(`{`))
	require.ErrorContains(t, err, "the request is not valid JSON")
}

func TestRespond(t *testing.T) {
	deleted := `{` + head + `,"oldObject":{}}`
	for name, test := range map[string]struct {
		request string
		answer  abi.ValidationResponse
		err     error
		want    string
	}{
		"accepted": {
			answer: abi.ValidationResponse{Accepted: true},
			want:   `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`,
		},
		"accepted, says more": {
			answer: abi.ValidationResponse{Accepted: true, Message: "m"},
			want:   `{"uid":"u","allowed":true,"status":{"message":"m"},"auditAnnotations":null,"warnings":null}`,
		},
		"rejected": {
			answer: abi.ValidationResponse{
				Message:          "no",
				Code:             418,
				Warnings:         []string{"w"},
				AuditAnnotations: map[string]string{"a": "b"},
			},
			want: `{"uid":"u","allowed":false,"status":{"message":"no","code":418},"auditAnnotations":{"a":"b"},"warnings":["w"]}`,
		},
		"rejected for a reason": {
			answer: abi.ValidationResponse{
				Reason:  "r",
				Details: &metav1.StatusDetails{Kind: "k", RetryAfterSeconds: 1},
			},
			want: `{"uid":"u","allowed":false,"status":{"reason":"r","details":{"kind":"k","retryAfterSeconds":1}},"auditAnnotations":null,"warnings":null}`,
		},
		"rejected without a word": {
			answer: abi.ValidationResponse{},
			want:   `{"uid":"u","allowed":false,"auditAnnotations":null,"warnings":null}`,
		},
		"group": {
			answer: abi.ValidationResponse{
				Message: "g",
				Causes: []abi.Cause{{Field: "spec.policies.a", Message: "x"},
					{Field: "spec.policies.b"}},
			},
			want: `{"uid":"u","allowed":false,"status":{"message":"g","details":{"causes":[{"message":"x","field":"spec.policies.a"},{"field":"spec.policies.b"}]}},"auditAnnotations":null,"warnings":null}`,
		},
		"mutated": {
			answer: abi.ValidationResponse{
				Accepted:      true,
				MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`),
			},
			// [{"op":"remove","path":"/metadata/name"}]
			want: `{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL21ldGFkYXRhL25hbWUifV0=","auditAnnotations":null,"warnings":null}`,
		},
		"mutated and rejected": {
			answer: abi.ValidationResponse{
				MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`),
			},
			want: `{"uid":"u","allowed":false,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL21ldGFkYXRhL25hbWUifV0=","auditAnnotations":null,"warnings":null}`,
		},
		"patched": {
			// The computed difference would be shorter: [{"op":"remove","path":"/metadata/name"}].
			answer: abi.ValidationResponse{
				Accepted:      true,
				MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`),
				Patch:         []byte(`[{"op":"replace","path":"/metadata","value":{}}]`),
			},
			want: `{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9tZXRhZGF0YSIsInZhbHVlIjp7fX1d","auditAnnotations":null,"warnings":null}`,
		},
		"patched to the same": {
			answer: abi.ValidationResponse{
				Accepted:      true,
				MutatedObject: json.RawMessage(`{"n":9007199254740993,"metadata":{"name":"a"}}`),
				Patch:         []byte(`[{"op":"replace","path":"/metadata/name","value":"a"}]`),
			},
			want: `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`,
		},
		"handed back": {
			answer: abi.ValidationResponse{
				Accepted:      true,
				MutatedObject: json.RawMessage(`{"n":9007199254740993,"metadata":{"name":"a"}}`),
			},
			want: `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`,
		},
		"mutated DELETE": {
			request: deleted,
			answer: abi.ValidationResponse{
				Accepted:      true,
				Warnings:      []string{"w"},
				MutatedObject: json.RawMessage(`{}`),
			},
			want: `{"uid":"u","allowed":false,"status":{"message":"Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. ` +
				`This is not allowed"},"auditAnnotations":null,"warnings":null}`,
		},
		"no response": {
			err:  &abi.ResponseError{Err: errors.New("missing field `accepted`")},
			want: "{\"uid\":\"u\",\"allowed\":false,\"status\":{\"message\":\"internal server error: invalid response from policy: missing field `accepted`\",\"code\":500},\"auditAnnotations\":null,\"warnings\":null}",
		},
		"guest error": {
			err:  &abi.GuestError{Text: "x"},
			want: `{"uid":"u","allowed":false,"status":{"message":"internal server error: Guest call failure: x","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"program's last words": {
			err:  &abi.GuestError{Text: "no such owner\n", End: errors.New("exit status 1")},
			want: `{"uid":"u","allowed":false,"status":{"message":"no such owner","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"trap": {
			err: &engine.Error{
				Digest: "d",
				Phase:  engine.PhaseCall,
				Cause:  engine.CauseUnreachable,
				Err:    errors.New("wasm trap: unreachable"),
			},
			want: `{"uid":"u","allowed":false,"status":{"message":"internal server error: Guest call failure: module d: call: wasm trap: unreachable","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"not started": {
			err: fmt.Errorf("initialization failed: %w",
				&engine.Error{
					Digest: "d",
					Phase:  engine.PhaseStart,
					Cause:  engine.CauseLimit,
					Err:    errors.New("too much"),
				}),
			want: `{"uid":"u","allowed":false,"status":{"message":"internal server error: initialization failed: module d: start: too much","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"deadline": {
			err: &engine.Error{
				Phase: engine.PhaseCall,
				Cause: engine.CauseDeadline,
				Err:   context.DeadlineExceeded,
			},
			want: `{"uid":"u","allowed":false,"status":{"message":"Policy execution interrupted because it exceeded the allowed execution time","code":500},"auditAnnotations":null,"warnings":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.request == "" {
				test.request = create
			}
			request, err := review.ParseRequest([]byte(test.request))
			require.NoError(t, err)
			answer := &test.answer
			if test.err != nil {
				answer = nil
			}
			got, err :=
				json.Marshal(request.Respond(verdict.Terms{MayMutate: true}, answer, test.err))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}

// The patch of a raw request applies to the whole request.
func TestRespondToRaw(t *testing.T) {
	request, err := review.ParseRawRequest([]byte(`{"resource":"banana"}`))
	require.NoError(t, err)
	response := request.Respond(verdict.Terms{MayMutate: true},
		&abi.ValidationResponse{
			Accepted:      true,
			MutatedObject: json.RawMessage(`{"resource":"hay"}`),
		}, nil)
	require.JSONEq(t, `[{"op":"replace","path":"/resource","value":"hay"}]`, string(response.Patch))
}

// A patch repeats names in its paths.
func TestPatchIsBounded(t *testing.T) {
	object := func(value string) json.RawMessage {
		name := make([]byte, 64<<10)
		for n := range name {
			name[n] = 'n'
		}
		text := `{"` + string(name) + `":[` + value
		for range 1000 {
			text += "," + value
		}
		return json.RawMessage(text + `]}`)
	}
	request, err := review.ParseRawRequest(object("0"))
	require.NoError(t, err)
	response := request.Respond(verdict.Terms{MayMutate: true},
		&abi.ValidationResponse{Accepted: true, MutatedObject: object("1")}, nil)
	require.Equal(t, &review.Status{
		Message: "internal server error: the patch is too large",
		Code:    500,
	}, response.Status)
	require.False(t, response.Allowed)
}

// On a policy's terms, its answer results in the same response as in policy-server.
func TestTerms(t *testing.T) {
	other := json.RawMessage(`{}`)
	for name, test := range map[string]struct {
		terms  verdict.Terms
		answer abi.ValidationResponse
		want   string
	}{
		"monitor": {
			verdict.Terms{Monitor: true, Message: "custom"},
			abi.ValidationResponse{
				MutatedObject:    other,
				Patch:            []byte(`[]`),
				Message:          "m",
				Code:             1,
				AuditAnnotations: map[string]string{"a": "b"},
				Warnings:         []string{"w"},
			},
			`{"uid":"u","allowed":true,"auditAnnotations":{"a":"b"},"warnings":["w"]}`,
		},
		"may mutate": {
			verdict.Terms{MayMutate: true},
			abi.ValidationResponse{Accepted: true, MutatedObject: other, Patch: []byte(`[]`)},
			`{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":null}`,
		},
		"may not mutate": {
			verdict.Terms{Name: "p"},
			abi.ValidationResponse{
				Accepted:      true,
				MutatedObject: other,
				Patch:         []byte(`[]`),
				Warnings:      []string{"w"},
			},
			`{"uid":"u","allowed":false,"status":{"message":"Request rejected by policy p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."},"auditAnnotations":null,"warnings":["w"]}`,
		},
		"message": {
			verdict.Terms{Message: "custom"},
			abi.ValidationResponse{
				Message: "m",
				Reason:  "r",
				Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "f"}}},
				Code:    1,
			},
			`{"uid":"u","allowed":false,"status":{"message":"custom","reason":"r","details":{"causes":[{"field":"f"},{"message":"m"}]},"code":1},"auditAnnotations":null,"warnings":null}`,
		},
		"message instead of none": {
			verdict.Terms{Message: "custom"},
			abi.ValidationResponse{},
			`{"uid":"u","allowed":false,"status":{"message":"custom"},"auditAnnotations":null,"warnings":null}`,
		},
		"message of one that accepts": {
			verdict.Terms{Message: "custom"},
			abi.ValidationResponse{Accepted: true, Message: "m"},
			`{"uid":"u","allowed":true,"status":{"message":"m"},"auditAnnotations":null,"warnings":null}`,
		},
		"message and may not mutate": {
			verdict.Terms{Name: "p", Message: "custom"},
			abi.ValidationResponse{Accepted: true, MutatedObject: other, Patch: []byte(`[]`)},
			`{"uid":"u","allowed":false,"status":{"message":"custom","details":{"causes":[{"message":"Request rejected by policy p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."}]}},"auditAnnotations":null,"warnings":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := review.ParseRequest([]byte(create))
			require.NoError(t, err)
			before := test.answer
			before.Details = before.Details.DeepCopy()
			got, err := json.Marshal(request.Respond(test.terms, &test.answer, nil))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
			require.Equal(t, before, test.answer)
		})
	}
	request, err := review.ParseRequest([]byte(create))
	require.NoError(t, err)
	got, err := json.Marshal(request.Respond(verdict.Terms{Message: "custom"}, nil,
		errors.New("no verdict")))
	require.NoError(t, err)
	require.JSONEq(t,
		`{"uid":"u","allowed":false,"status":{"message":"custom","details":{"causes":[{"message":"internal server error: no verdict"}]},"code":500},"auditAnnotations":null,"warnings":null}`,
		string(got))
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(create))
	f.Add([]byte(`{"kind":"AdmissionReview","request":` + create + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := review.ParseRequest(data)
		if err != nil {
			return
		}
		// The JSON for policies parses to the same request.
		again, err := review.ParseRequest(request.JSON)
		require.NoError(t, err)
		require.JSONEq(t, string(request.JSON), string(again.JSON))
		require.Equal(t, request.UID, again.UID)
	})
}
