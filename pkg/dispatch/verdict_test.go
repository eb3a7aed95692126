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
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/warning"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

func judged(reviewed string, response *abi.ValidationResponse) *evaluation {
	var fields struct {
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal([]byte(reviewed), &fields); err != nil {
		panic(err)
	}
	e := &evaluation{
		hook:     &hook{policy: &policyset.Policy{}},
		review:   &review{json: []byte(reviewed), object: fields.Object},
		response: response,
	}
	e.mutation = readMutation(e.review, response)
	e.judge()
	return e
}

// A policy that may not mutate may still return the object unchanged.
func TestMutationsAreRefused(t *testing.T) {
	const (
		pod         = `{"object":{"kind":"Pod","spec":{"a":1,"b":[]}}}`
		mayNot      = "Request rejected by policy . The policy attempted to mutate the request, but it is currently configured to not allow mutations."
		notOnDelete = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
	)
	for _, test := range []struct {
		name, reviewed, mutated string
		refused                 string
	}{
		{"the same object", pod, `{"spec":{"b":[],"a":1.0},"kind":"Pod"}`, ""},
		{"another object", pod, `{"kind":"Pod","spec":{"a":2,"b":[]}}`, mayNot},
		{"less", pod, `{"kind":"Pod"}`, mayNot},
		{"another large number", `{"object":{"n":9007199254740993}}`, `{"n":9007199254740992}`,
			mayNot},
		{"an object on DELETE", `{"oldObject":{"kind":"Pod"}}`, `{"kind":"Pod"}`, notOnDelete},
		{"no JSON", pod, `{`, mayNot},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := judged(test.reviewed,
				&abi.ValidationResponse{
					Accepted:      true,
					MutatedObject: json.RawMessage(test.mutated),
				})
			if test.refused == "" {
				require.Nil(t, e.refusal)
				return
			}
			require.Equal(t, test.refused, e.refusal.cause.Message)
			require.ErrorContains(t, reject([]*refusal{e.refusal}), test.refused)
		})
	}
}

func TestCodesAreThoseOfErrors(t *testing.T) {
	for wanted, code := range map[int32]int32{
		0:     400,
		200:   400,
		399:   400,
		400:   400,
		403:   403,
		599:   599,
		600:   599,
		65535: 599,
	} {
		require.Equal(t, code, statusCode(wanted), "%d", wanted)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	e := judged("{}", &abi.ValidationResponse{Message: strings.Repeat("ä", maxMessageBytes)})
	require.LessOrEqual(t, len(e.refusal.cause.Message), maxMessageBytes)
	require.True(t, utf8.ValidString(e.refusal.message))
	require.True(t, strings.HasSuffix(e.refusal.message, "ä…"))
}

// The causes of a group's members follow the group's own cause.
func TestCausesOfMembers(t *testing.T) {
	e := judged("{}", &abi.ValidationResponse{Message: "the group refuses", Causes: []abi.Cause{
		{Field: "spec.policies.a"},
		{Field: "spec.policies.b", Message: strings.Repeat("b", 2*maxMessageBytes)},
	}})
	var status *apierrors.StatusError
	require.ErrorAs(t, reject([]*refusal{e.refusal}), &status)
	causes := status.ErrStatus.Details.Causes
	require.Len(t, causes, 3)
	require.Equal(t, "the group refuses", causes[0].Message)
	require.Equal(t, metav1.StatusCause{Field: "spec.policies.a"}, causes[1])
	require.Equal(t, "spec.policies.b", causes[2].Field)
	require.Len(t, causes[2].Message, maxMessageBytes)
}

// As with a webhook, the status in the answer of an Open Policy Agent policy becomes the status of
// the rejection.
func TestReasonAndDetails(t *testing.T) {
	first := judged("{}",
		&abi.ValidationResponse{Reason: "Conflict", Code: 409, Details: &metav1.StatusDetails{
			Name: "n", Group: "g", Kind: "k", UID: "u", RetryAfterSeconds: 3,
			Causes: []metav1.StatusCause{{Type: "t", Message: "m", Field: "f"}},
		}})
	second := judged("{}", &abi.ValidationResponse{
		Message: "no",
		Reason:  "Gone",
		Details: &metav1.StatusDetails{Name: "other"},
	})
	var status *apierrors.StatusError
	require.ErrorAs(t, reject([]*refusal{first.refusal, second.refusal}), &status)
	require.Equal(t, metav1.Status{
		Status: metav1.StatusFailure, Code: 409, Reason: "Conflict",
		Message: `WasmAdmission policy "" denied the request: Conflict; WasmAdmission policy "" denied the request: no`,
		Details: &metav1.StatusDetails{Name: "n", Group: "g", Kind: "k", UID: "u",
			RetryAfterSeconds: 3, Causes: []metav1.StatusCause{
				{Field: "policies[]", Message: "Conflict"}, {Type: "t", Message: "m", Field: "f"},
				{Field: "policies[]", Message: "no"},
			}},
	}, status.ErrStatus)
}

func TestDetailsAreBounded(t *testing.T) {
	long := strings.Repeat("d", 2*maxMessageBytes)
	e := judged("{}", &abi.ValidationResponse{Reason: long, Details: &metav1.StatusDetails{
		Name: long, Group: long, Kind: long, UID: types.UID(long), RetryAfterSeconds: math.MaxInt32,
		Causes: slices.Repeat([]metav1.StatusCause{{
			Type: metav1.CauseType(long), Message: long, Field: long,
		}}, 1000),
	}})
	var status *apierrors.StatusError
	require.ErrorAs(t, reject([]*refusal{e.refusal}), &status)
	details := status.ErrStatus.Details
	require.EqualValues(t, maxRetryAfterSeconds, details.RetryAfterSeconds)
	require.Len(t, details.Causes, 1+maxCauses)
	cause := details.Causes[1]
	for _, text := range []string{
		details.Name, details.Group, details.Kind, string(details.UID), string(cause.Type),
		cause.Message, cause.Field,
	} {
		require.Len(t, text, maxDetailBytes)
	}
	require.Len(t, status.ErrStatus.Reason, maxMessageBytes)
	e = judged("{}", &abi.ValidationResponse{Details: &metav1.StatusDetails{RetryAfterSeconds: -1}})
	require.Zero(t, e.refusal.details.RetryAfterSeconds)
}

// recorder keeps warnings in the form in which they are sent.
type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }

func sent(t *testing.T, w *warnings) []string {
	t.Helper()
	r := &recorder{}
	w.send(warning.WithWarningRecorder(t.Context(), r))
	return r.texts
}

func TestWarningsCarryNoControlCharacters(t *testing.T) {
	w := &warnings{}
	require.Zero(t, w.fromGuest([]string{"one\ntwo\x00three", "bad \xff"}))
	w.fromHost("three\rfour")
	require.Equal(t, []string{"three four", "one two three", "bad \uFFFD"}, sent(t, w))
}

func TestWarningsAreBounded(t *testing.T) {
	long := strings.Repeat("ö", 5000)
	many := make([]string, 100)
	for n := range many {
		many[n] = long
	}
	w := &warnings{}
	require.Equal(t, 100-maxWarnings, w.fromGuest(many), "the warnings of one policy are counted")
	require.Equal(t, 3, w.fromGuest([]string{long, long, ""}), "the warnings of all guests have a total size")
	w.fromHost(long)
	texts := sent(t, w)
	require.Len(t, texts, maxWarnings+1, "the host's warnings are always sent")
	total := 0
	for _, text := range texts {
		require.LessOrEqual(t, len(text), maxWarningBytes)
		require.True(t, utf8.ValidString(text))
		total += len(text)
	}
	require.LessOrEqual(t, total, maxWarningsBytes+maxWarningBytes)
}
