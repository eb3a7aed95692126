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
	// evidenceFormat changes when the meaning of what is kept does.
	evidenceFormat = "wasm-admission/evidence/1"
	// maxEvidenceBytes bounds what is kept of one module. What a verifier looked at before
	// it was content is much less, unless somebody made it more.
	maxEvidenceBytes = 16 << 20
	// maxHeldProofBytes bounds a proof in memory. Some ten thousand bytes are usual.
	maxHeldProofBytes = 1 << 20
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
	Proof
}

// Proof is what a verifier accepted a module by, so that it can be judged again with nobody
// to ask. Nothing in it is believed.
type Proof struct {
	// Manifest is what names the module, of one from a registry.
	Manifest []byte `json:"manifest,omitempty"`
	// MediaType is that of the manifest.
	MediaType string `json:"mediaType,omitempty"`
	// Evidence is the verifier's. Empty: there is no proof.
	Evidence []byte `json:"evidence,omitempty"`
}

// held returns the proof if it is one, and small enough to be held in memory for as long as
// its module is served.
func (p Proof) held() Proof {
	if len(p.Evidence) == 0 || len(p.Manifest)+len(p.Evidence) > maxHeldProofBytes {
		return Proof{}
	}
	return p
}

// Verify has a verifier judge a module by the proof, for a request. The way from what was
// signed to the module's bytes, which have to be there, is followed again. The error wraps
// fs.ErrNotExist if there is no proof.
func (p *Proof) Verify(ctx context.Context, verifier Verifier, request Request, m *Module) error {
	if len(p.Evidence) == 0 {
		return fmt.Errorf("nothing is kept that the module could be verified by: %w", fs.ErrNotExist)
	}
	if err := checkDigest(m.Digest, engine.Digest(m.Bytes)); err != nil {
		return err
	}
	artifact := Artifact{URI: request.URI, Digest: m.Digest, Demands: request.Demands, Evidence: p.Evidence}
	if scheme, _, _ := strings.Cut(request.URI, "://"); scheme == "registry" || scheme == moduleuri.LayoutScheme {
		if err := p.name(&artifact); err != nil {
			return err
		}
	} else {
		artifact.Bytes = m.Bytes
	}
	_, _, err := verify(ctx, verifier, artifact)
	return err
}

// name adds to an artifact in a registry, or in a layout, the manifest, which has to name it.
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
		return errors.New("the manifest that is kept does not name the module")
	}
	artifact.Repository = repository
	artifact.Manifest = ocispec.Descriptor{MediaType: p.MediaType, Digest: manifest, Size: int64(len(p.Manifest))}
	return nil
}

// repositoryOf returns what the repository is called that a URI names, and the digest of the
// manifest if it names that.
func repositoryOf(uri string) (repository, digest string, err error) {
	if text, inLayout := strings.CutPrefix(uri, moduleuri.LayoutScheme+"://"); inLayout {
		in, err := moduleuri.ParseInLayout(text)
		return cmp.Or(in.Repository, in.Path), in.Digest, err
	}
	ref, err := parseReference(uri)
	return ref.Registry + "/" + ref.Repository, ref.Digest, err
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
// what is kept of it, once in this process. Nobody is asked. It returns the identity that the
// verifier had before it judged: if that changes meanwhile, the module is shown to it again.
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
		klog.FromContext(ctx).Info("A module in the store is not accepted by what is kept of it: its source is asked", "digest", e.Digest, "err", err)
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
	if e.Manifest != "" {
		// The module itself is not read: what is kept names it.
		if err := k.name(&artifact); err != nil {
			return err
		}
	} else if artifact.Bytes = r.store.get(ctx, e.Digest, r.maxBytes); artifact.Bytes == nil {
		return fs.ErrNotExist
	}
	_, _, err = verify(ctx, r.verifier, artifact)
	return err
}

// proof returns what is kept of an entry that was accepted.
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

// signed returns the entry of what was signed: whatever tags stand for it.
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
