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

package policies_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestImagesAreVerified checks the host calls that the policy for image verification makes for each
// kind of signature, and its verdicts on the answers.
func TestImagesAreVerified(t *testing.T) {
	const policy = "verify-images-rust"
	mutated, err :=
		os.ReadFile(filepath.Join(policy, "testdata", "images", "pod-create.mutated.json"))
	require.NoError(t, err)
	verified := fmt.Sprintf(`{"is_trusted":true,"digest":"sha256:%s"}`, strings.Repeat("2", 64))
	errUnsigned, errDown := errors.New("no signature"), errors.New("connection refused")
	const byKey = `{"image":"*","pubKeys":["key"]}`
	for name, tc := range map[string]struct {
		signatures, more string
		asked            string // the first request without its image
		verify, digest   error
		answer           string
		refused, failed  string
		unchanged        bool
	}{
		"by keys": {
			signatures: `{"image":"registry.example.com/*","pubKeys":["a","b"],"annotations":{"c":"d"}}`,
			asked:      `{"type":"SigstorePubKeyVerify","pub_keys":["a","b"],"annotations":{"c":"d"}}`,
		},
		"by identities": {
			signatures: `{"image":"*","keyless":[{"issuer":"a","subject":"b"}]}`,
			asked:      `{"type":"SigstoreKeylessVerify","keyless":[{"issuer":"a","subject":"b"}],"annotations":null}`,
		},
		"by prefixes": {
			signatures: `{"image":"*","keylessPrefix":[{"issuer":"a","urlPrefix":"b"}]}`,
			asked:      `{"type":"SigstoreKeylessPrefixVerify","keyless_prefix":[{"issuer":"a","url_prefix":"b"}],"annotations":null}`,
		},
		"by workflows": {
			signatures: `{"image":"*","githubActions":{"owner":"a"}}`,
			asked:      `{"type":"SigstoreGithubActionsVerify","owner":"a","repo":null,"annotations":null}`,
		},
		"by a certificate": {
			signatures: `{"image":"*","certificate":{"pem":"a","requireRekorBundle":true}}`,
			asked:      `{"type":"SigstoreCertificateVerify","certificate":[97],"certificate_chain":null,"require_rekor_bundle":true,"annotations":null}`,
		},
		"not pinned": {
			signatures: byKey, more: `,"modifyImagesWithDigest":false`, unchanged: true,
		},
		"not signed": {signatures: byKey, verify: errUnsigned, refused: "no signature"},
		"not trusted": {
			signatures: byKey, answer: `{"is_trusted":false,"digest":""}`,
			refused: "it is not trusted",
		},
		"nothing to ask": {
			signatures: byKey, verify: errDown, digest: errDown, failed: "cannot be verified: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []map[string]any
			guest := startPolicy(t, policy,
				func(binding, namespace, operation string, payload []byte) ([]byte, error) {
					switch binding + "/" + namespace + "/" + operation {
					case "kubewarden/oci/v2/verify":
						var request map[string]any
						require.NoError(t, json.Unmarshal(payload, &request))
						asked = append(asked, request)
						if tc.answer != "" {
							return []byte(tc.answer), tc.verify
						}
						return []byte(verified), tc.verify
					case "kubewarden/oci/v1/manifest_digest":
						return []byte(`{"digest":"sha256:0"}`), tc.digest
					}
					return nil, errNoHostCalls
				})
			got, err := validate(t, guest, policy, "images/pod-create",
				`{"signatures":[`+tc.signatures+`]`+tc.more+`}`)
			if tc.failed != "" {
				require.ErrorContains(t, err, tc.failed)
				return
			}
			require.NoError(t, err)
			if tc.refused != "" {
				require.False(t, got.Accepted)
				require.Regexp(t, `^Image ".*" is not accepted: .*`+tc.refused, got.Message)
				return
			}
			require.True(t, got.Accepted, got.Message)
			require.Len(t, asked, 3)
			if tc.unchanged {
				require.Nil(t, got.MutatedObject)
				return
			}
			require.JSONEq(t, string(mutated), string(*got.MutatedObject))
			require.Contains(t, asked[0]["image"], "registry.example.com/")
			delete(asked[0], "image")
			text, err := json.Marshal(asked[0])
			require.NoError(t, err)
			require.JSONEq(t, tc.asked, string(text))
		})
	}
}
