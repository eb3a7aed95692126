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

package apijson

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkPod(b *testing.B) {
	pod := samplePod(b)
	want, err := json.Marshal(pod)
	require.NoError(b, err)
	out, err := Append(nil, pod)
	require.NoError(b, err)
	require.Equal(b, string(want), string(out))
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(pod)
		}
	})
	b.Run("apijson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out, _ = Append(out[:0], pod)
		}
	})
}
