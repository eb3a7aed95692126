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
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// Managed fields are the largest part of most objects that writes itself.
func BenchmarkManagedFields(b *testing.B) {
	text, err := json.Marshal(samplePod(b))
	require.NoError(b, err)
	var object any
	require.NoError(b, json.Unmarshal(text, &object))
	text, err = json.Marshal(fieldsOfObject(object))
	require.NoError(b, err)
	managed := &metav1.ManagedFieldsEntry{
		Manager:  "kubectl",
		FieldsV1: metav1.NewFieldsV1(string(text)),
	}
	var out []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		out, _ = Append(out[:0], managed)
	}
}

// fieldsOfObject returns the fields of a value as managed fields name them.
func fieldsOfObject(value any) map[string]any {
	fields := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			fields["f:"+name] = fieldsOfObject(inner)
		}
	case []any:
		for n, inner := range value {
			fields[fmt.Sprintf(`k:{"name":"%d"}`, n)] = fieldsOfObject(inner)
		}
	}
	return fields
}
