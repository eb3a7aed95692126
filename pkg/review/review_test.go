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

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/review"
)

const (
	head   = `"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","userInfo":{}`
	create = `{` + head + `,"object":{"metadata":{"name":"a"},"n":9007199254740993}}`
)

func TestParseRequest(t *testing.T) {
	for name, test := range map[string]struct{ data, want, err string }{
		"bare":              {data: create, want: create},
		"review":            {data: `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":` + create + `}`, want: create},
		"review without it": {data: `{"request":` + create + `}`, want: create},
		"nulls and unknown": {data: `{` + head + `,"object":null,"oldObject":null,"options":null,"dryRun":null,"name":null,"more":1}`, want: `{` + head + `}`},
		"all fields": {
			data: `{` + head + `,"subResource":"status","requestKind":{"group":"g","version":"v","kind":"K"},"requestResource":{"group":"g","version":"v","resource":"r"},"requestSubResource":"s",
				"name":"n","namespace":"m","oldObject":{"a":[1]},"dryRun":false,"options":{"kind":"CreateOptions"}}`,
			want: `{` + head + `,"subResource":"status","requestKind":{"group":"g","version":"v","kind":"K"},"requestResource":{"group":"g","version":"v","resource":"r"},"requestSubResource":"s",
				"name":"n","namespace":"m","oldObject":{"a":[1]},"dryRun":false,"options":{"kind":"CreateOptions"}}`,
		},
		"nothing":     {data: ``, err: "the request is not a JSON object"},
		"list":        {data: `[]`, err: "the request is not a JSON object"},
		"empty":       {data: `{}`, err: "missing field `uid`\nthe request is no AdmissionRequest: missing field `kind`"},
		"an object":   {data: `{"apiVersion":"v1","kind":"Pod","metadata":{}}`, err: "the request is no AdmissionRequest"},
		"wrong type":  {data: `{` + head + `,"namespace":1}`, err: "the request is no AdmissionRequest: json: cannot unmarshal number"},
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
		"accepted":            {answer: abi.ValidationResponse{Accepted: true}, want: `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`},
		"accepted, says more": {answer: abi.ValidationResponse{Accepted: true, Message: "m"}, want: `{"uid":"u","allowed":true,"status":{"message":"m"},"auditAnnotations":null,"warnings":null}`},
		"rejected": {
			answer: abi.ValidationResponse{Message: "no", Code: 418, Warnings: []string{"w"}, AuditAnnotations: map[string]string{"a": "b"}},
			want:   `{"uid":"u","allowed":false,"status":{"message":"no","code":418},"auditAnnotations":{"a":"b"},"warnings":["w"]}`,
		},
		"rejected for a reason": {
			answer: abi.ValidationResponse{Reason: "r", Details: &metav1.StatusDetails{Kind: "k", RetryAfterSeconds: 1}},
			want:   `{"uid":"u","allowed":false,"status":{"reason":"r","details":{"kind":"k","retryAfterSeconds":1}},"auditAnnotations":null,"warnings":null}`,
		},
		"rejected without a word": {answer: abi.ValidationResponse{}, want: `{"uid":"u","allowed":false,"auditAnnotations":null,"warnings":null}`},
		"group": {
			answer: abi.ValidationResponse{Message: "g", Causes: []abi.Cause{{Field: "spec.policies.a", Message: "x"}, {Field: "spec.policies.b"}}},
			want:   `{"uid":"u","allowed":false,"status":{"message":"g","details":{"causes":[{"message":"x","field":"spec.policies.a"},{"field":"spec.policies.b"}]}},"auditAnnotations":null,"warnings":null}`,
		},
		"mutated": {
			answer: abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`)},
			// [{"op":"remove","path":"/metadata/name"}]
			want: `{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL21ldGFkYXRhL25hbWUifV0=","auditAnnotations":null,"warnings":null}`,
		},
		"mutated and rejected": {
			answer: abi.ValidationResponse{MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`)},
			want:   `{"uid":"u","allowed":false,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL21ldGFkYXRhL25hbWUifV0=","auditAnnotations":null,"warnings":null}`,
		},
		"patched": {
			// The difference would be shorter: [{"op":"remove","path":"/metadata/name"}].
			answer: abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"metadata":{},"n":9007199254740993}`), Patch: []byte(`[{"op":"replace","path":"/metadata","value":{}}]`)},
			want:   `{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9tZXRhZGF0YSIsInZhbHVlIjp7fX1d","auditAnnotations":null,"warnings":null}`,
		},
		"patched to the same": {
			answer: abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"n":9007199254740993,"metadata":{"name":"a"}}`), Patch: []byte(`[{"op":"replace","path":"/metadata/name","value":"a"}]`)},
			want:   `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`,
		},
		"handed back": {
			answer: abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"n":9007199254740993,"metadata":{"name":"a"}}`)},
			want:   `{"uid":"u","allowed":true,"auditAnnotations":null,"warnings":null}`,
		},
		"mutated DELETE": {
			request: deleted,
			answer:  abi.ValidationResponse{Accepted: true, Warnings: []string{"w"}, MutatedObject: json.RawMessage(`{}`)},
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
			err:  &engine.Error{Digest: "d", Phase: engine.PhaseCall, Cause: engine.CauseUnreachable, Err: errors.New("wasm trap: unreachable")},
			want: `{"uid":"u","allowed":false,"status":{"message":"internal server error: Guest call failure: module d: call: wasm trap: unreachable","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"not started": {
			err:  fmt.Errorf("initialization failed: %w", &engine.Error{Digest: "d", Phase: engine.PhaseStart, Cause: engine.CauseLimit, Err: errors.New("too much")}),
			want: `{"uid":"u","allowed":false,"status":{"message":"internal server error: initialization failed: module d: start: too much","code":500},"auditAnnotations":null,"warnings":null}`,
		},
		"deadline": {
			err:  &engine.Error{Phase: engine.PhaseCall, Cause: engine.CauseDeadline, Err: context.DeadlineExceeded},
			want: `{"uid":"u","allowed":false,"status":{"message":"Policy execution interrupted because it exceeded the allowed execution time","code":500},"auditAnnotations":null,"warnings":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.request == "" {
				test.request = create
			}
			request, err := review.ParseRequest([]byte(test.request))
			require.NoError(t, err)
			got, err := json.Marshal(request.Respond(&test.answer, test.err))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}

// The patch of a raw request leads from the whole of it.
func TestRespondToRaw(t *testing.T) {
	request, err := review.ParseRawRequest([]byte(`{"resource":"banana"}`))
	require.NoError(t, err)
	response := request.Respond(&abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(`{"resource":"hay"}`)}, nil)
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
	response := request.Respond(&abi.ValidationResponse{Accepted: true, MutatedObject: object("1")}, nil)
	require.Equal(t, &review.Status{Message: "internal server error: the patch is too large", Code: 500}, response.Status)
	require.False(t, response.Allowed)
}

func TestApply(t *testing.T) {
	for name, test := range map[string]struct {
		policy         review.Policy
		response, want string
	}{
		"monitor": {
			review.Policy{Monitor: true, Message: "custom"},
			`{"uid":"u","allowed":false,"patchType":"JSONPatch","patch":"W10=","status":{"message":"m","code":1},"auditAnnotations":{"a":"b"},"warnings":["w"]}`,
			`{"uid":"u","allowed":true,"auditAnnotations":{"a":"b"},"warnings":["w"]}`,
		},
		"may mutate": {
			review.Policy{MayMutate: true},
			`{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":null}`,
			`{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":null}`,
		},
		"may not mutate": {
			review.Policy{ID: "p"},
			`{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":["w"]}`,
			`{"uid":"u","allowed":false,"status":{"message":"Request rejected by policy p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."},"auditAnnotations":null,"warnings":["w"]}`,
		},
		"message": {
			review.Policy{Message: "custom"},
			`{"uid":"u","allowed":false,"status":{"message":"m","reason":"r","details":{"causes":[{"field":"f"}]},"code":1},"auditAnnotations":null,"warnings":null}`,
			`{"uid":"u","allowed":false,"status":{"message":"custom","reason":"r","details":{"causes":[{"field":"f"},{"message":"m"}]},"code":1},"auditAnnotations":null,"warnings":null}`,
		},
		"message instead of none": {
			review.Policy{Message: "custom"},
			`{"uid":"u","allowed":false,"auditAnnotations":null,"warnings":null}`,
			`{"uid":"u","allowed":false,"status":{"message":"custom"},"auditAnnotations":null,"warnings":null}`,
		},
		"message of one that accepts": {
			review.Policy{Message: "custom"},
			`{"uid":"u","allowed":true,"status":{"message":"m"},"auditAnnotations":null,"warnings":null}`,
			`{"uid":"u","allowed":true,"status":{"message":"m"},"auditAnnotations":null,"warnings":null}`,
		},
		"message and may not mutate": {
			review.Policy{ID: "p", Message: "custom"},
			`{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10=","auditAnnotations":null,"warnings":null}`,
			`{"uid":"u","allowed":false,"status":{"message":"custom","details":{"causes":[{"message":"Request rejected by policy p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."}]}},"auditAnnotations":null,"warnings":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var response review.Response
			require.NoError(t, json.Unmarshal([]byte(test.response), &response))
			got, err := json.Marshal(test.policy.Apply(&response))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
			before, err := json.Marshal(&response)
			require.NoError(t, err)
			require.Equal(t, test.response, string(before))
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(create))
	f.Add([]byte(`{"kind":"AdmissionReview","request":` + create + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := review.ParseRequest(data)
		if err != nil {
			return
		}
		// What policies get is a request again, and the same.
		again, err := review.ParseRequest(request.JSON)
		require.NoError(t, err)
		require.JSONEq(t, string(request.JSON), string(again.JSON))
		require.Equal(t, request.UID, again.UID)
	})
}
