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

package abi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeValidationResponse(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       ValidationResponse
		err        string
	}{
		{name: "accepted", data: `{"accepted":true}`, want: ValidationResponse{Accepted: true}},
		{name: "everything",
			data: `{"accepted":false,"message":"no","code":418,"mutated_object":{"a":1},"audit_annotations":{"k":"v"},"warnings":["w"]}`,
			want: ValidationResponse{
				Message:          "no",
				Code:             418,
				MutatedObject:    json.RawMessage(`{"a":1}`),
				AuditAnnotations: map[string]string{"k": "v"},
				Warnings:         []string{"w"},
			}},
		{
			name: "nulls",
			data: `{"accepted":true,"message":null,"code":null,"mutated_object":null,"audit_annotations":null,"warnings":null}`,
			want: ValidationResponse{Accepted: true},
		},
		{
			name: "unknown fields", data: `{"accepted":true,"later":[]}`,
			want: ValidationResponse{Accepted: true},
		},
		{
			name: "limits of code", data: `{"accepted":false,"code":65535}`,
			want: ValidationResponse{Code: 65535},
		},
		{name: "no JSON", data: `yes`, err: "invalid character"},
		{name: "nothing", data: ``, err: "unexpected end of JSON input"},
		{name: "two documents", data: `{"accepted":true}{}`, err: "invalid character"},
		{name: "an array", data: `[]`, err: "cannot unmarshal array"},
		{name: "not accepted nor refused", data: `{}`, err: "missing field `accepted`"},
		{name: "case", data: `{"Accepted":true}`, err: "missing field `accepted`"},
		{name: "null verdict", data: `{"accepted":null}`, err: "missing field `accepted`"},
		{name: "wrong type", data: `{"accepted":"true"}`, err: "cannot unmarshal string"},
		{
			name: "negative code", data: `{"accepted":false,"code":-1}`,
			err: "code -1 is out of range",
		},
		{
			name: "large code", data: `{"accepted":false,"code":65536}`,
			err: "code 65536 is out of range",
		},
		{
			name: "fractional code", data: `{"accepted":false,"code":4.5}`,
			err: "cannot unmarshal number",
		},
		{
			name: "annotations in a list", data: `{"accepted":true,"audit_annotations":["a"]}`,
			err: "audit_annotations: cannot unmarshal a value that does not begin with {",
		},
		{
			name: "annotation of a number", data: `{"accepted":true,"audit_annotations":{"a":1}}`,
			err: `audit_annotations: value of "a": json: cannot unmarshal number`,
		},
		{
			name: "no annotations", data: `{"accepted":true,"audit_annotations":{},"warnings":[]}`,
			want: ValidationResponse{Accepted: true},
		},
		{
			name: "nulls inside",
			data: `{"accepted":true,"audit_annotations":{"a":null},"warnings":[null]}`,
			want: ValidationResponse{
				Accepted:         true,
				AuditAnnotations: map[string]string{"a": ""},
				Warnings:         []string{""},
			},
		},
		{
			name: "warnings in an object", data: `{"accepted":true,"warnings":{}}`,
			err: "warnings: cannot unmarshal a value that does not begin with [",
		},
		{
			name: "a number as warning", data: `{"accepted":true,"warnings":["a",1]}`,
			err: "warnings: warning 1: json: cannot unmarshal number",
		},
		{name: "no UTF-8", data: "{\"accepted\":true,\"message\":\"\xff\"}", err: "not UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := DecodeValidationResponse([]byte(test.data))
			if test.err != "" {
				require.ErrorContains(t, err, "invalid response from policy: ")
				require.ErrorContains(t, err, test.err)
				require.ErrorAs(t, err, new(*ResponseError))
				return
			}
			require.NoError(t, err)
			require.Equal(t, &test.want, got)
		})
	}
}

// The host keeps no more annotations and warnings than it passes on.
func TestWhatIsKeptOfAResponse(t *testing.T) {
	var annotations, warnings []string
	for n := range 1000 {
		// The keys are unsorted.
		annotations = append(annotations, fmt.Sprintf(`"key-%03d":"%d"`, n*7%1000, n))
		warnings = append(warnings, fmt.Sprintf(`"%d"`, n))
	}
	data := `{"accepted":true,"audit_annotations":{` + strings.Join(annotations, ",") +
		`,"key-001":"again"},"warnings":[` + strings.Join(warnings, ",") + `]}`
	r, err := DecodeValidationResponse([]byte(data))
	require.NoError(t, err)
	require.Len(t, r.AuditAnnotations, maxAuditAnnotations)
	require.Equal(t, 1000-maxAuditAnnotations, r.OmittedAuditAnnotations)
	require.Contains(t, r.AuditAnnotations, "key-127")
	require.NotContains(t, r.AuditAnnotations, "key-128")
	require.Equal(t, "again", r.AuditAnnotations["key-001"], "the last of a name counts")
	require.Len(t, r.Warnings, maxWarnings)
	require.Equal(t, "127", r.Warnings[127])
	require.Equal(t, 1000-maxWarnings, r.OmittedWarnings)

	all := map[string]string{}
	for n := range 1000 {
		all[fmt.Sprintf("key-%03d", n)] = ""
	}
	kept, omitted := KeepAnnotations(all)
	require.Len(t, kept, maxAuditAnnotations)
	require.Equal(t, 1000-maxAuditAnnotations, omitted)
	require.Contains(t, kept, "key-127")
	require.NotContains(t, kept, "key-128")
}

func TestDecodeSettingsValidationResponse(t *testing.T) {
	got, err :=
		DecodeSettingsValidationResponse([]byte(`{"valid":false,"message":"labels are missing"}`))
	require.NoError(t, err)
	require.Equal(t, &SettingsValidationResponse{Message: "labels are missing"}, got)

	got, err = DecodeSettingsValidationResponse([]byte(`{"valid":true,"message":null}`))
	require.NoError(t, err)
	require.Equal(t, &SettingsValidationResponse{Valid: true}, got)

	for _, data := range []string{
		``, `{}`, `{"valid":null}`, `{"valid":1}`, `null`, `{"VALID":true}`,
	} {
		_, err := DecodeSettingsValidationResponse([]byte(data))
		require.ErrorAs(t, err, new(*ResponseError), data)
	}
}

// Most guests in Rust send null for each field that they leave empty.
func TestNullsTakeNoDecoder(t *testing.T) {
	null, a, warnings := []byte("null"), &annotations{}, &texts{}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if a.UnmarshalJSON(null) != nil || warnings.UnmarshalJSON(null) != nil {
			panic("null was not understood")
		}
	}))
}

// The common form of an answer takes no decoder, and decodes to the same response.
func TestUsualResponses(t *testing.T) {
	for data, usual := range map[string]bool{
		`{"accepted":true}`: true,
		`{"accepted":true,"message":null,"code":null,"mutated_object":null,"audit_annotations":null,"warnings":null}`: true,
		`{"code":65535,"message":"no, not ~that~","accepted":false}`:                                                  true,
		`{"accepted":false,"message":"","code":0}`:                                                                    true,
		`{"accepted":true}{}`:                      false,
		`{"accepted":true,}`:                       false,
		`{"accepted":true,"accepted":false}`:       false,
		`{"accepted":tru}`:                         false,
		`{"accepted":true`:                         false,
		`{"accepted":null}`:                        false,
		`{"message":"m"}`:                          false,
		`{}`:                                       false,
		``:                                         false,
		` {"accepted":true}`:                       false,
		`{"accepted": true}`:                       false,
		`{"Accepted":true}`:                        false,
		`{"accepted":true,"later":1}`:              false,
		`{"accepted":false,"message":"\u0041"}`:    false,
		`{"accepted":false,"message":"ä"}`:         false,
		`{"accepted":false,"message":"m`:           false,
		`{"accepted":false,"message":1}`:           false,
		`{"accepted":false,"code":65536}`:          false,
		`{"accepted":false,"code":99999999999}`:    false,
		`{"accepted":false,"code":01}`:             false,
		`{"accepted":false,"code":-1}`:             false,
		`{"accepted":false,"code":1.5}`:            false,
		`{"accepted":false,"code":}`:               false,
		`{"accepted":true,"mutated_object":{}}`:    false,
		`{"accepted":true,"warnings":["a"]}`:       false,
		`{"accepted":true,"audit_annotations":{}}`: false,
	} {
		response := decodeUsual([]byte(data))
		require.Equal(t, usual, response != nil, data)
		if usual {
			want, err := decodeAny([]byte(data))
			require.NoError(t, err)
			require.Equal(t, want, response, data)
		}
	}
	answer :=
		[]byte(
			`{"accepted":true,"message":null,"code":null,"mutated_object":null,"audit_annotations":null,"warnings":null}`)
	require.LessOrEqual(t,
		testing.AllocsPerRun(100, func() { _, _ = DecodeValidationResponse(answer) }), 1.0)
}

func FuzzDecodeValidationResponse(f *testing.F) {
	f.Add(
		[]byte(
			`{"accepted":true,"message":null,"code":007,"mutated_object":null,"audit_annotations":null,"warnings":null}`))
	f.Add(
		[]byte(
			`{"accepted":false,"message":"no","code":418,"mutated_object":{"a":1},"audit_annotations":{"k":"v"},"warnings":["w"]}`))
	f.Add(
		[]byte(
			`{"accepted":true,"audit_annotations":{"k":null,"k":"v"},"audit_annotations":{},"warnings":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		response, err := DecodeValidationResponse(data)
		require.Equal(t, err == nil, response != nil)
		whole, wholeErr := decodeAny(data)
		require.Equal(t, wholeErr, err)
		require.Equal(t, whole, response)
		if response != nil {
			require.LessOrEqual(t, len(response.AuditAnnotations), maxAuditAnnotations)
			require.LessOrEqual(t, len(response.Warnings), maxWarnings)
		}
	})
}
