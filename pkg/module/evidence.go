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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const (
	// evidenceFormat changes when the meaning of the stored evidence changes.
	evidenceFormat = "wasm-admission/evidence/1"
	// maxEvidenceBytes is the maximum size of one module's stored evidence. Honest evidence is much
	// smaller.
	maxEvidenceBytes = 16 << 20
	// maxHeldProofBytes is the maximum size of a proof in memory. Ten thousand bytes or so are
	// usual.
	maxHeldProofBytes = 1 << 20
	// maxAccepted is the maximum number of accepted entries to remember.
	maxAccepted = 10_000
)

// kept is the stored form of a proof, beside its entry in the index. It is not trusted until it is
// verified again.
type kept struct {
	Format string `json:"format"`
	// URI and Demands are those of the entry.
	URI     string `json:"uri"`
	Demands string `json:"demands,omitempty"`
	Proof
}

// Proof is the basis on which a verifier accepted a module. With it, the module can be judged again
// without contacting anyone. It is not trusted.
type Proof struct {
	// Manifest is the manifest that names the module, for a module from a registry or a layout.
	Manifest []byte `json:"manifest,omitempty"`
	// MediaType is the media type of the manifest.
	MediaType string `json:"mediaType,omitempty"`
	// Evidence is the verifier's evidence. If it is empty, there is no proof.
	Evidence []byte `json:"evidence,omitempty"`
}

// held returns the proof if it is not empty and is small enough to be held in memory while its
// module is served.
func (p Proof) held() Proof {
	if len(p.Evidence) == 0 || len(p.Manifest)+len(p.Evidence) > maxHeldProofBytes {
		return Proof{}
	}
	return p
}

// Verify lets a verifier judge a module by the proof, for a request. It again follows the chain
// from what was signed to the module's bytes, which must be set. The error wraps fs.ErrNotExist if
// there is no proof.
func (p *Proof) Verify(ctx context.Context, verifier Verifier, request Request, m *Module) error {
	if len(p.Evidence) == 0 {
		return fmt.Errorf("no evidence is stored by which to verify the module: %w", fs.ErrNotExist)
	}
	if err := checkDigest(m.Digest, engine.Digest(m.Bytes)); err != nil {
		return err
	}
	artifact := Artifact{
		URI:      request.URI,
		Digest:   m.Digest,
		Demands:  request.Demands,
		Evidence: p.Evidence,
	}
	if scheme, _, _ := strings.Cut(request.URI, "://"); scheme == "registry" ||
		scheme == moduleuri.LayoutScheme {
		if err := p.name(&artifact); err != nil {
			return err
		}
	} else {
		artifact.Bytes = m.Bytes
	}
	_, _, err := verify(ctx, verifier, artifact)
	return err
}

// name adds the manifest to an artifact in a registry or a layout. The manifest must name the
// artifact.
func (p *Proof) name(artifact *Artifact) error {
	repository, pinned, err := repositoryOf(artifact.URI)
	if err != nil {
		return err
	}
	manifest := digestOf(p.Manifest)
	layer, err := wasmLayer(p.MediaType, p.Manifest)
	switch {
	case err != nil:
		return err
	case pinned != "" && pinned != manifest.String() || layer.Digest.String() != artifact.Digest:
		return errors.New("the stored manifest does not name the module")
	}
	artifact.Repository = repository
	artifact.Manifest = ocispec.Descriptor{
		MediaType: p.MediaType,
		Digest:    manifest,
		Size:      int64(len(p.Manifest)),
	}
	return nil
}

// repositoryOf returns the name of the repository in a URI, and the digest of the manifest if the
// URI has one.
func repositoryOf(uri string) (repository, digest string, err error) {
	if text, inLayout := strings.CutPrefix(uri, moduleuri.LayoutScheme+"://"); inLayout {
		in, err := moduleuri.ParseInLayout(text)
		return cmp.Or(in.Repository, in.Path), in.Digest, err
	}
	ref, err := parseReference(uri)
	return ref.Registry + "/" + ref.Repository, ref.Digest, err
}

// evidence returns the stored evidence for an entry.
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
	if k.Format != evidenceFormat || k.URI != e.URI || k.Demands != e.Demands ||
		len(k.Evidence) == 0 {
		return nil, errors.New("it belongs to another entry")
	}
	return k, nil
}

// keepEvidence stores the evidence on which an entry was accepted. Without it, the verifier asks
// the source again after a restart.
func (s *Store) keepEvidence(ctx context.Context, e entry, k kept) {
	if s == nil || len(k.Evidence) == 0 {
		return
	}
	k.Format, k.URI, k.Demands = evidenceFormat, e.URI, e.Demands
	content, err := json.Marshal(k)
	if err == nil && len(content) > maxEvidenceBytes {
		err = fmt.Errorf("it has %d bytes, at most %d are stored", len(content), maxEvidenceBytes)
	}
	if err == nil {
		err = safefile.WritePrivate(filepath.Join(s.proofs, e.file()), content)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err,
			"Cannot store a module's evidence: its source must be asked again after a restart")
	}
}

// hasEntry reports whether the index has the entry to which a file of evidence belongs.
func (s *Store) hasEntry(path string) bool {
	_, err := os.Lstat(filepath.Join(s.index, filepath.Base(path)))
	return err == nil
}

// accept checks whether the module of an entry may be used: the verifier must accept it by its
// stored evidence, once in this process, without contacting anyone. It returns the verifier's
// identity from before the judgment: if the identity changes meanwhile, the verifier judges the
// module again.
func (r *puller) accept(ctx context.Context, e entry, demands string) (identity string, err error) {
	if r.verifier == nil {
		return "", nil
	}
	at, err := e.signed()
	if err != nil {
		return "", err
	}
	identity = r.verifier.Identity(demands)
	known := accepted{at.URI, e.Manifest, e.Digest, demands, identity}
	r.mu.Lock()
	done := r.accepted[known]
	r.mu.Unlock()
	if done && identity != "" {
		return identity, nil
	}
	err = r.acceptKept(ctx, at, demands)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", err
	case err != nil:
		klog.FromContext(ctx).
			Info("A stored module is not accepted by its stored evidence: asking its source",
				"digest", e.Digest, "err", err)
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.accepted) >= maxAccepted {
		clear(r.accepted)
	}
	r.accepted[known] = true
	return identity, nil
}

// accepted is an entry that a verifier has accepted, with the verifier's identity.
type accepted struct{ uri, manifest, digest, demands, identity string }

// acceptKept lets the verifier judge by the stored evidence. It again follows the chain from what
// was signed to the module's digest.
func (r *puller) acceptKept(ctx context.Context, e entry, demands string) error {
	k, err := r.store.evidence(e)
	if err != nil {
		return err
	}
	artifact := Artifact{URI: e.URI, Digest: e.Digest, Demands: demands, Evidence: k.Evidence}
	if e.Manifest != "" {
		// The module itself is not read: the manifest in the proof names it.
		if err := k.name(&artifact); err != nil {
			return err
		}
	} else if artifact.Bytes = r.store.get(ctx, e.Digest, r.maxBytes); artifact.Bytes == nil {
		return fs.ErrNotExist
	}
	_, _, err = verify(ctx, r.verifier, artifact)
	return err
}

// proof returns the stored proof for an accepted entry.
func (r *puller) proof(e entry) Proof {
	if r.verifier == nil {
		return Proof{}
	}
	at, err := e.signed()
	if err != nil {
		return Proof{}
	}
	k, err := r.store.evidence(at)
	if err != nil {
		return Proof{}
	}
	return k.held()
}

// signed returns the entry for what was signed, whichever tags refer to it.
func (e entry) signed() (entry, error) {
	if e.Manifest == "" {
		return e, nil
	}
	ref, err := parseReference(e.URI)
	if err != nil {
		return entry{}, err
	}
	e.URI = ref.at(e.Manifest).String()
	return e, nil
}
