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

package sigstore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/testing/data"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// sample holds artifacts that the real cosign signed with one key. `make cosign-sample` writes it.
type sample struct {
	Key        string          `json:"key"`
	Digest     string          `json:"digest"`
	Bundle     json.RawMessage `json:"bundle"`
	Payload    []byte          `json:"payload"`
	Signature  []byte          `json:"signature"`
	File       []byte          `json:"file"`
	FileBundle json.RawMessage `json:"fileBundle"`
}

func samples(t testing.TB) map[string]sample {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "cosign", "*.json"))
	require.NoError(t, err)
	all := map[string]sample{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		var s sample
		require.NoError(t, json.Unmarshal(content, &s))
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = s
	}
	require.Len(t, all, 6)
	return all
}

func TestWhatCosignSigned(t *testing.T) {
	all := samples(t)
	for kind, s := range all {
		t.Run(kind, func(t *testing.T) {
			foreign := all["p256"].Key
			if kind == "p256" {
				foreign = all["p384"].Key
			}
			image := verification.Artifact{Digest: s.Digest}
			file := verification.Artifact{
				Digest:  digestOf(string(s.File)),
				IsFile:  true,
				Content: s.File,
			}
			for _, c := range []struct {
				name      string
				candidate *verification.Candidate
				artifact  verification.Artifact
			}{
				{"bundle", &verification.Candidate{Bundle: s.Bundle}, image},
				{"payload", &verification.Candidate{Payload: s.Payload, Signature: s.Signature},
					image},
				{"file", &verification.Candidate{Bundle: s.FileBundle}, file},
			} {
				signed, err := New(nil).Key(t.Context(), c.candidate, c.artifact, []byte(s.Key))
				require.NoError(t, err, c.name)
				if !c.artifact.IsFile {
					require.Equal(t, map[string]string{"env": "prod"}, signed.Annotations, c.name)
				}
				_, err = New(nil).Key(t.Context(), c.candidate, c.artifact, []byte(foreign))
				require.ErrorIs(t, err, errForeignKey, c.name)
			}
		})
	}
}

// npm published sigstore-js with a signature on the public Sigstore. Its statement is an
// attestation about a SHA-512 digest, so it is not a signature. All checks before that one pass
// with the embedded trust root.
func TestWhatThePublicSigstoreSigned(t *testing.T) {
	root, err := OpenPublicGood(PublicGoodOptions{})
	require.NoError(t, err)
	checker := New(root.Current)
	whole, err := data.Bundle(t, "sigstore.js@2.0.0-provenance.sigstore.json").MarshalJSON()
	require.NoError(t, err)
	_, err = checker.Keyless(t.Context(), &verification.Candidate{Bundle: whole}, image)
	require.ErrorContains(t, err, "digests does not match digests in statement")
	p := newForge(t).parts().root(t)
	_, err = New(func() *Root { return p }).
		Keyless(t.Context(), &verification.Candidate{Bundle: whole}, image)
	require.ErrorContains(t, err, "failed to verify log inclusion")
}
