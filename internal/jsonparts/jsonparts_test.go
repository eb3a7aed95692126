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

package jsonparts_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
)

func TestParts(t *testing.T) {
	for content, parts := range map[string]int{
		``: 0, `1`: 0, `{}`: 1, `[{},{}]`: 4, `{"a":1,"b":[2,3]}`: 4,
		`"{[,"`: 0, `["\"{[,", "\\",1]`: 3, `["\\\"[",{}]`: 3,
	} {
		require.NoError(t, jsonparts.Check([]byte(content), parts), content)
		read, err :=
			io.ReadAll(jsonparts.NewReader(iotest.OneByteReader(strings.NewReader(content)), parts))
		require.NoError(t, err, content)
		require.Equal(t, content, string(read))
		if parts == 0 {
			continue
		}
		require.ErrorContains(t, jsonparts.Check([]byte(content), parts-1), "parts", content)
		_, err = io.ReadAll(jsonparts.NewReader(iotest.OneByteReader(strings.NewReader(content)),
			parts-1))
		require.ErrorContains(t, err, "parts", content)
	}
}

func TestUpperBound(t *testing.T) {
	for content, parts := range map[string]int{
		``:                  1,
		`1`:                 1,
		`{}`:                2,
		`[{},{}]`:           5,
		`{"a":1,"b":[2,3]}`: 7,
		`"{[,:"`:            5,
	} {
		require.Equal(t, parts, jsonparts.UpperBound([]byte(content)), content)
	}
}
