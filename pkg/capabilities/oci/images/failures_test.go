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
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// Clients that create Pods name images. A missing or unsigned image, a registry that may not be
// asked, and a registry that is down do not make the policy look broken. An invalid request from
// the policy itself does.
func TestLooksThatFailAreNoPolicysFault(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	r.Push(t, "app", "v1", []byte("app"))
	key := signing.NewKey(t)
	i := newImages(t, r.Host, nil)
	verify := func(image string, keys ...string) any {
		return map[string]any{
			"type":        "SigstorePubKeyVerify",
			"image":       image,
			"pub_keys":    keys,
			"annotations": nil,
		}
	}
	shortage := new(*abi.ShortageError)
	for _, image := range []string{
		r.Host + "/app:v2", "ghcr.io/app:v1", "-/app", r.Host + "/app:v1",
	} {
		for range 2 { // the second answer comes from the cache
			_, err := call(t, i, oci.VerifyV2, verify(image, key.PEM))
			require.ErrorAs(t, err, shortage, image)
		}
	}
	_, err := call(t, i, oci.VerifyV2, verify(r.Host+"/app:v1", "no key"))
	require.Error(t, err)
	require.NotErrorAs(t, err, shortage)
	r.Stop()
	_, err = call(t, i, oci.ManifestDigest, r.Host+"/app:v1")
	require.ErrorAs(t, err, shortage)
}
