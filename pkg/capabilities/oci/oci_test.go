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

package oci_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
)

const notAvailable = "Callback evaluation failure: host capability oci is not available: this program does not read images from registries"

func TestEveryOperationSaysThatItIsNotAvailable(t *testing.T) {
	for _, test := range []struct{ operation, payload, err string }{
		{oci.ManifestDigest, `"busybox"`, notAvailable},
		{oci.Manifest, `"busybox"`, notAvailable},
		{oci.ManifestAndConfig, `"busybox"`, notAvailable},
		{oci.VerifyV1, `{"SigstorePubKeyVerify": {"image": "busybox", "pub_keys": ["k"]}}`,
			notAvailable},
		{oci.VerifyV1,
			`{"SigstoreKeylessVerify": {"image": "busybox", "keyless": [], "annotations": null}}`,
			notAvailable},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "image": "busybox", "owner": "o"}`,
			notAvailable},

		{"v3/verify", `{}`, "unknown operation: v3/verify"},
		{oci.Manifest, `{}`, "the payload is not an image as a JSON string: "},
		{oci.Manifest, `""`, "the payload names no image"},
		{oci.Manifest, `null`, "the payload names no image"},
		{oci.Manifest, `"` + strings.Repeat("a", 4097) + `"`,
			"the name of the image has 4097 bytes: at most 4096 are allowed"},
		{oci.VerifyV1, `"busybox"`, "the payload is not a request to verify an image: "},
		{oci.VerifyV1, `{}`, "the payload has 0 ways to verify an image: exactly one is needed"},
		{oci.VerifyV1, `{"SigstorePubKeyVerify": null}`, "the payload names no image"},
		{oci.VerifyV1, `{"SigstoreGithubActionsVerify": {"image": "busybox"}}`,
			`unknown way "SigstoreGithubActionsVerify" to verify an image`},
		{oci.VerifyV2, `{"image": "busybox"}`, `unknown way "" to verify an image`},
		{oci.VerifyV2, `{"type": "SigstorePubKeyVerify"}`, "the payload names no image"},
		{oci.VerifyV2, `[]`, "the payload is not a request to verify an image: "},
	} {
		t.Run(test.operation+" "+test.payload[:min(len(test.payload), 40)], func(t *testing.T) {
			_, err := oci.New(nil).Call(t.Context(), &capabilities.Caller{}, test.operation,
				[]byte(test.payload))
			require.ErrorContains(t, err, test.err)
		})
	}
}

// images answers with the question it received, or fails.
type images struct{ err error }

func (i images) Ask(_ context.Context, _ *capabilities.Caller, operation, image string,
	_ []byte) ([]byte, error) {
	return []byte(operation + " " + image), i.err
}

func TestImagesAreAsked(t *testing.T) {
	answer, err := oci.New(images{}).Call(t.Context(), &capabilities.Caller{}, oci.VerifyV2,
		[]byte(`{"type": "SigstorePubKeyVerify", "image": "busybox"}`))
	require.NoError(t, err)
	require.Equal(t, "v2/verify busybox", string(answer))

	_, err = oci.New(images{errors.New("no")}).Call(t.Context(), &capabilities.Caller{},
		oci.Manifest, []byte(`"busybox"`))
	require.EqualError(t, err, "Callback evaluation failure: no")
}

func FuzzCall(f *testing.F) {
	f.Add(oci.VerifyV1, []byte(`{"SigstorePubKeyVerify": {"image": "busybox"}}`))
	f.Add(oci.VerifyV2, []byte(`{"type": "SigstorePubKeyVerify", "image": "busybox"}`))
	f.Add(oci.Manifest, []byte(`"busybox"`))
	f.Fuzz(func(t *testing.T, operation string, payload []byte) {
		_, err := oci.New(nil).Call(t.Context(), &capabilities.Caller{}, operation, payload)
		require.Error(t, err)
	})
}
