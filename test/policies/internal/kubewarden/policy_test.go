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

package kubewarden

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeReview(t *testing.T) {
	type request struct {
		Request
		Object *Object          `json:"object"`
		Old    *json.RawMessage `json:"oldObject"`
	}
	type settings struct{}
	raw := json.RawMessage(`{"n": 1.0 }`)
	labelled := &Object{Metadata: Metadata{Labels: map[string]string{"a": "b"}}}
	for _, tc := range []struct {
		name, review, wantErr string
		want                  request
	}{
		{
			name:   "fields and labels",
			review: `{"request":{"operation":"CREATE","new":1,"object":{"metadata":{"labels":{"a":"b"}}}},"settings":{}}`,
			want:   request{Request: Request{Operation: "CREATE"}, Object: labelled},
		},
		{name: "no metadata", review: `{"settings":{},"request":{"object":{}}}`, want: request{Object: &Object{}}},
		{name: "no object", review: `{"request":{},"settings":{}}`},
		{name: "object that is null", review: `{"request":{"object":null},"settings":{}}`},
		{name: "object as it is written", review: `{"request":{"oldObject":{"n": 1.0 }},"settings":{}}`, want: request{Old: &raw}},
		{name: "raw object that is null", review: `{"request":{"oldObject":null},"settings":{}}`},
		{name: "object that is none", review: `{"request":{"object":[]},"settings":{}}`, wantErr: "decode the review: json: cannot unmarshal array"},
		{name: "no settings", review: `{"request":{}}`, wantErr: "decode settings: EOF"},
		{name: "unknown setting", review: `{"request":{},"settings":{"a":1}}`, wantErr: `decode settings: json: unknown field "a"`},
		{name: "breaks off", review: `{"request":{},"settings":{}`, wantErr: "decode the review: unexpected end of JSON input"},
		{name: "two reviews", review: `{"request":{},"settings":{}} {}`, wantErr: "decode the review: invalid character '{' after top-level value"},
		{name: "nothing", wantErr: "decode the review: unexpected end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _, err := decodeReview[request, settings]([]byte(tc.review))
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestDecodeSettings(t *testing.T) {
	type settings struct{ Name string }
	for _, tc := range []struct{ text, wantErr string }{
		{text: `{"name":"x"}`},
		{text: `{"nam":"x"}`, wantErr: `unknown field "nam"`},
		{text: `{"name":"x"} {}`, wantErr: "more than one JSON value"},
		{text: ``, wantErr: "decode settings: EOF"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			_, err := decodeSettings[settings]([]byte(tc.text))
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestEncode(t *testing.T) {
	for want, response := range map[string]Response{
		`{"accepted":true}`:                                        Accept(),
		`{"accepted":false,"message":"no"}`:                        Reject("no"),
		`{"accepted":true,"mutated_object":{"a": "<"}}`:            {Accepted: true, MutatedObject: []byte(`{"a": "<"}`)},
		`{"accepted":true,"warnings":["w"],"mutated_object":null}`: {Accepted: true, Warnings: []string{"w"}, MutatedObject: []byte("null")},
	} {
		got, err := encode(response)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}
