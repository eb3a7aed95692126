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

package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkOpen(b *testing.B) {
	pod, err := os.ReadFile("../../test/policies/testdata/pod-create-9k.json")
	require.NoError(b, err)
	var compact bytes.Buffer
	require.NoError(b, json.Compact(&compact, pod))
	review := fmt.Appendf(nil,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":%s}`,
		compact.Bytes())
	b.SetBytes(int64(len(review)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := open(review); !ok {
			b.Fatal("not opened")
		}
	}
}
