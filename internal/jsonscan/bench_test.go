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

package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/jsonscan"
)

func BenchmarkFind(b *testing.B) {
	request, err := os.ReadFile("../../test/policies/testdata/pod-create-9k.json")
	require.NoError(b, err)
	var compact bytes.Buffer
	require.NoError(b, json.Compact(&compact, request))
	b.SetBytes(int64(compact.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, found := jsonscan.Find(compact.Bytes(), "object", "metadata", "name"); !found {
			b.Fatal("not found")
		}
	}
}
