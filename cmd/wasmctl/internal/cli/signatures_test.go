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

package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

// Signatures in both formats are shown, with a note that they are not verified.
func TestShowSignatures(t *testing.T) {
	s := newSigned(t)
	instance := keyless.New(t)
	s.registry.PushReferrer(t, "old", s.manifest, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", s.manifest,
			map[string]string{"env": "prod"}))
	s.registry.PushReferrer(t, "old", s.manifest, registry.BundleMediaType,
		s.key.Statement(t, s.manifest, "https://slsa.dev/provenance/v1", nil))
	out := s.does("inspect", "--show-signatures", s.old)
	require.Contains(t, out,
		"Signatures (not verified: their author may have invented all of it):\n  layer 0 of sha256-")
	require.Regexp(t, `(?m)^    Format: +simple signing$`, out)
	require.Regexp(t, `(?m)^    Key: +it does not say which$`, out)
	require.Regexp(t, `(?m)^    Annotation: +env=prod$`, out)
	require.Regexp(t, `(?m)^  referrer sha256:`, out)
	require.Regexp(t, `(?m)^    Format: +bundle v0.3$`, out)
	require.Regexp(t, `(?m)^    Certificate: +of ann@example.com$`, out)
	require.Regexp(t, `(?m)^    Issuer: +https://issuer.example.com$`, out)
	require.Regexp(t, `(?m)^    Log: +entry \d+ of \S+, 20\d\d-`, out)
	require.Regexp(t, `(?m)^    Timestamp: +20\d\d-`, out)
	require.Regexp(t, `(?m)^    Problem: +.* an attestation, not a signature`, out)
	require.NotContains(t, s.does("inspect", s.old), "Signatures")

	require.Contains(t, s.does("inspect", "--show-signatures", s.bare),
		"No sigstore signatures found")
	require.Equal(t, s.does("inspect", "-o", "yaml", s.bare)+"signatures:\n  digest: "+s.manifest+
		"\n  found: []\n  verified: false\n",
		s.does("inspect", "-o", "yaml", "--show-signatures", s.bare))
}

// Signers cannot write anything but text to a terminal.
func TestShowSignaturesOfHostileSigners(t *testing.T) {
	s := newSigned(t)
	s.registry.PushReferrer(t, "bare", s.manifest, registry.BundleMediaType,
		s.key.Bundle(t, s.manifest, map[string]string{"env\x1b[2J": "prod\n  layer 9 of trusted"}))
	out := s.does("inspect", "--show-signatures", s.bare)
	require.NotContains(t, out, "\x1b")
	require.Contains(t, out, "env [2J=prod layer 9 of trusted\n")
}

func TestShowSignaturesAsYAML(t *testing.T) {
	s := newSigned(t)
	for _, name := range []string{"wasmctl", "kwctl"} {
		s.call()
		got := callNamed(t, name, "", "inspect", "-o", "yaml", "--show-signatures", s.bundled)
		require.Zero(t, got.code, got.err)
		var document struct {
			Signatures struct {
				Verified *bool
				Digest   string
				Found    []struct {
					Place, Format, KeyHint string
					Annotations            map[string]string
				}
			}
			Rules []any
		}
		require.NoError(t, yaml.Unmarshal([]byte(got.out), &document))
		require.False(t, *document.Signatures.Verified)
		require.Equal(t, s.manifest, document.Signatures.Digest)
		require.Len(t, document.Signatures.Found, 1)
		found := document.Signatures.Found[0]
		require.Equal(t, "bundle v0.3", found.Format)
		require.Equal(t, "none", found.KeyHint)
		require.Equal(t, map[string]string{"env": "prod"}, found.Annotations)
		require.Equal(t, name == "kwctl", document.Rules != nil, "kwctl shows metadata alone")
	}
}

// The bundle of a file is shown. An unreadable bundle is not a failure, as with registries.
func TestShowSignaturesOfFiles(t *testing.T) {
	s := newSigned(t)
	path := filepath.Join(t.TempDir(), "policy.wasm")
	require.NoError(t, os.WriteFile(path, s.policy, 0o600))
	require.Contains(t, s.does("inspect", "--show-signatures", path),
		"No sigstore signatures found")
	require.NoError(t, os.WriteFile(path+".sigstore.json", s.key.FileBundle(t, s.policy), 0o600))
	require.Contains(t, s.does("inspect", "--show-signatures", path),
		"policy.wasm.sigstore.json\n    Format:  bundle v0.3\n")

	s.does("pull", s.old)
	require.Contains(t,
		s.does("inspect", "--show-signatures", s.stored("registry/"+s.host+"/old:v1")),
		"layer 0 of sha256-")
	s.registry.Stop()
	require.Contains(t, s.does("inspect", "--show-signatures", s.old),
		"Cannot determine if the policy has been signed: ")
}
