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

package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

const (
	// evidenceFormat changes when the meaning of what is kept does.
	evidenceFormat = "wasm-admission/evidence/1"
	// maxEvidenceBytes bounds what is kept of one module. What a verifier looked at before
	// it was content is much less, unless somebody made it more.
	maxEvidenceBytes = 16 << 20
	// maxAccepted bounds what is remembered of entries that were accepted.
	maxAccepted = 10_000
)

// kept is what a verifier accepted a module by, as it is on disk beside the entry of the
// index that it belongs to. Nothing in it is believed before it was verified again.
type kept struct {
	Format string `json:"format"`
	// URI and Demands are those of the entry.
	URI     string `json:"uri"`
	Demands string `json:"demands,omitempty"`
	// Manifest is what names the module, of one from a registry.
	Manifest []byte `json:"manifest,omitempty"`
	// MediaType is that of the manifest.
	MediaType string `json:"mediaType,omitempty"`
	// Evidence is the verifier's.
	Evidence []byte `json:"evidence"`
}

// evidence returns what is kept of an entry.
func (s *Store) evidence(e entry) (*kept, error) {
	if s == nil {
		return nil, fs.ErrNotExist
	}
	content, err := read(filepath.Join(s.proofs, e.file()), maxEvidenceBytes)
	if err != nil {
		return nil, err
	}
	k := &kept{}
	if err := json.Unmarshal(content, k); err != nil {
		return nil, err
	}
	if k.Format != evidenceFormat || k.URI != e.URI || k.Demands != e.Demands || len(k.Evidence) == 0 {
		return nil, errors.New("it is about something else")
	}
	return k, nil
}

// keepEvidence keeps what an entry was accepted by. Without, it is asked for again after
// a restart.
func (s *Store) keepEvidence(ctx context.Context, e entry, k kept) {
	if s == nil || len(k.Evidence) == 0 {
		return
	}
	k.Format, k.URI, k.Demands = evidenceFormat, e.URI, e.Demands
	content, err := json.Marshal(k)
	if err == nil && len(content) > maxEvidenceBytes {
		err = fmt.Errorf("it has %d bytes, at most %d are kept", len(content), maxEvidenceBytes)
	}
	if err == nil {
		err = safefile.WritePrivate(filepath.Join(s.proofs, e.file()), content)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "What a module was verified by cannot be kept: it has to be asked for again after a restart")
	}
}

// hasEntry says whether there is an entry that belongs to a file of evidence.
func (s *Store) hasEntry(path string) bool {
	_, err := os.Lstat(filepath.Join(s.index, filepath.Base(path)))
	return err == nil
}

// accept says whether the module of an entry may be used: the verifier has to accept it by
// what is kept of it, once in this process. Nobody is asked.
func (r *puller) accept(ctx context.Context, e entry, demands string) error {
	if r.verifier == nil {
		return nil
	}
	at := e
	if e.Manifest != "" {
		ref, err := parseReference(e.URI)
		if err != nil {
			return err
		}
		at.URI = ref.at(e.Manifest).String() // whatever tags stand for it
	}
	identity := r.verifier.Identity(demands)
	known := accepted{at.URI, e.Manifest, e.Digest, demands, identity}
	r.mu.Lock()
	done := r.accepted[known]
	r.mu.Unlock()
	if done && identity != "" {
		return nil
	}
	err := r.acceptKept(ctx, at, demands)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		klog.FromContext(ctx).Info("A module in the store is not accepted by what is kept of it: its source is asked", "digest", e.Digest, "err", err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.accepted) >= maxAccepted {
		clear(r.accepted)
	}
	r.accepted[known] = true
	return nil
}

// accepted is an entry that a verifier has accepted, and as which verifier.
type accepted struct{ uri, manifest, digest, demands, identity string }

// acceptKept has the verifier judge by what is kept. What was signed, from there to the
// module's digest, is followed again.
func (r *puller) acceptKept(ctx context.Context, e entry, demands string) error {
	k, err := r.store.evidence(e)
	if err != nil {
		return err
	}
	artifact := Artifact{URI: e.URI, Digest: e.Digest, Demands: demands, Evidence: k.Evidence}
	if e.Manifest == "" {
		if artifact.Bytes = r.store.get(ctx, e.Digest, r.maxBytes); artifact.Bytes == nil {
			return fs.ErrNotExist
		}
	} else {
		ref, err := parseReference(e.URI)
		if err != nil {
			return err
		}
		artifact.Repository = ref.Registry + "/" + ref.Repository
		artifact.Manifest = ocispec.Descriptor{MediaType: k.MediaType, Digest: digestOf(k.Manifest), Size: int64(len(k.Manifest))}
		layer, err := wasmLayer(k.MediaType, k.Manifest)
		switch {
		case err != nil:
			return err
		case artifact.Manifest.Digest.String() != e.Manifest || layer.Digest.String() != e.Digest:
			return errors.New("the manifest that is kept does not name the module")
		}
	}
	_, _, err = verify(ctx, r.verifier, artifact)
	return err
}
