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

package parity

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
)

var writeSample = flag.Bool("write-sample", false,
	"write the sample in pkg/sigstore/testdata/cosign")

// sample holds signatures that cosign created with one key: of an image in both formats, and of a
// file.
type sample struct {
	Key        string          `json:"key"`
	Digest     string          `json:"digest"`
	Bundle     json.RawMessage `json:"bundle"`
	Payload    []byte          `json:"payload"`
	Signature  []byte          `json:"signature"`
	File       []byte          `json:"file"`
	FileBundle json.RawMessage `json:"fileBundle"`
}

func TestWriteSample(t *testing.T) {
	if !*writeSample {
		t.Skip("writes the sample: run make cosign-sample")
	}
	p := &parity{
		T:        t,
		cosign:   cosign.New(t),
		keys:     map[string][]byte{},
		registry: registry.Start(t, registry.Options{}),
	}
	for _, kind := range cosign.Kinds {
		p.key(kind, kind)
		reference := p.push(p.registry, kind, "v1")
		p.cosign.Sign(kind, reference, false, "--annotations", "env=prod")
		p.cosign.Sign(kind, reference, true, "--annotations", "env=prod")
		s := sample{
			Key:    string(p.keys[kind]),
			Digest: digestPart(reference),
			File:   []byte("\x00asm " + kind),
		}
		p.cosign.Write("file", s.File)
		p.cosign.SignFile(kind, "file")
		s.FileBundle = p.cosign.Read("file.sigstore.json")
		repository := p.registry.Repository(t, kind)
		manifest, err := repository.Resolve(t.Context(), s.Digest)
		require.NoError(t, err)
		for candidate, err := range discovery.Find(t.Context(), repository, manifest) {
			require.NoError(t, err)
			if candidate.Bundle != nil {
				s.Bundle = candidate.Bundle
			} else {
				s.Payload, s.Signature = candidate.Payload, candidate.Signature
			}
		}
		require.NotEmpty(t, s.Bundle)
		require.NotEmpty(t, s.Payload)
		require.NoError(t, digest.Digest(s.Digest).Validate())
		content, err := json.MarshalIndent(s, "", "  ")
		require.NoError(t, err)
		path := filepath.Join("..", "..", "..", "pkg", "sigstore", "testdata", "cosign",
			kind+".json")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, append(content, '\n'), 0o600))
	}
}
