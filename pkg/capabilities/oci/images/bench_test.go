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

package images_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// BenchmarkVerify measures what the verification of an image adds to an evaluation: with a cached
// answer, and with a registry on loopback. It reports both as metrics.
func BenchmarkVerify(b *testing.B) {
	r := registry.Start(b, registry.Options{})
	pushed, key := pushImage(b, r), signing.NewKey(b)
	r.PushReferrer(b, "team/app", pushed.index, registry.BundleMediaType,
		key.Bundle(b, pushed.index, nil))
	payload, err := json.Marshal(by(oci.VerifyV2, r.Host+"/team/app:v1", nil, key))
	require.NoError(b, err)
	verify := func(b *testing.B, o *oci.OCI) {
		b.Helper()
		_, err := o.Call(b.Context(), &capabilities.Caller{Policy: "p"}, oci.VerifyV2, payload)
		require.NoError(b, err)
	}
	b.Run("cached", func(b *testing.B) {
		o := oci.New(newImages(b, r.Host, nil))
		verify(b, o)
		for b.Loop() {
			verify(b, o)
		}
		fmt.Printf("figure verify_image_cached_us %.1f us\n",
			float64(b.Elapsed())/float64(b.N)/float64(time.Microsecond))
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			o := oci.New(newImages(b, r.Host, nil))
			b.StartTimer()
			verify(b, o)
		}
		fmt.Printf("figure verify_image_cold_ms %.1f ms\n",
			float64(b.Elapsed())/float64(b.N)/float64(time.Millisecond))
	})
}
