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
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeMetadata(t *testing.T) {
	for _, tc := range []struct {
		name, object, wantErr string
		want                  Metadata
	}{
		{name: "labels", object: `{"metadata":{"labels":{"a":"b"}}}`, want: Metadata{Labels: map[string]string{"a": "b"}}},
		{name: "no metadata", object: `{}`},
		{name: "absent", wantErr: "the request carries no object"},
		{name: "null", object: `null`, wantErr: "the request carries no object"},
		{name: "not an object", object: `[]`, wantErr: "decode the object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := DecodeMetadata([]byte(tc.object))
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
