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

package layout

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

const (
	// maxManifestBytes bounds the size of a manifest that may refer to another. Signatures contain
	// certificates.
	maxManifestBytes = 4 << 20
	// maxReferrerBytes bounds what is read in total to find referrers.
	maxReferrerBytes = 256 << 20
)

// Repository is one repository in a layout, with its tags and digests.
type Repository struct {
	*Layout
	// name is host/repository, or "" for the tags that stand alone.
	name string
}

var _ oras.ReadOnlyGraphTarget = &Repository{}

// Repository returns the repository with a name, which is host/repository. It may be empty. The
// name "" stands for the tags that stand alone in the index.
func (l *Layout) Repository(name string) *Repository { return &Repository{Layout: l, name: name} }

// Resolve finds a manifest by tag or digest. A digest finds it whatever its name in the index. If
// there is none, the error wraps errdef.ErrNotFound.
func (r *Repository) Resolve(_ context.Context, reference string) (ocispec.Descriptor, error) {
	if moduleuri.IsDigest(reference) {
		for _, entry := range r.index {
			if entry.Digest.String() == reference {
				return plain(entry), nil
			}
		}
		return ocispec.Descriptor{}, fmt.Errorf(
			"layout %s: %s: %w", r.path, reference, errdef.ErrNotFound)
	}
	name := reference
	if r.name != "" {
		name = r.name + ":" + reference
	}
	entry, ok := r.names[name]
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf(
			"layout %s: %s: %w", r.path, name, errdef.ErrNotFound)
	}
	return plain(entry), nil
}

// Predecessors returns the manifests that refer to a manifest, among all in the index.
func (r *Repository) Predecessors(ctx context.Context,
	manifest ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	r.once.Do(func() { r.referrers, r.err = r.findReferrers(ctx) })
	return r.referrers[manifest.Digest.String()], r.err
}

// findReferrers reads the subjects of all manifests. A damaged manifest refers to nothing.
func (l *Layout) findReferrers(ctx context.Context) (map[string][]ocispec.Descriptor, error) {
	found, seen, read := map[string][]ocispec.Descriptor{}, map[string]bool{}, int64(0)
	for _, entry := range l.index {
		if seen[entry.Digest.String()] || entry.MediaType != ocispec.MediaTypeImageManifest ||
			entry.Size > maxManifestBytes {
			continue
		}
		seen[entry.Digest.String()] = true
		if read += entry.Size; read > maxReferrerBytes {
			return nil, fmt.Errorf("layout %s: its manifests are larger than %d bytes together",
				l.path, maxReferrerBytes)
		}
		content, err := l.Read(ctx, entry, maxManifestBytes)
		if err != nil {
			continue
		}
		var manifest struct {
			Subject *ocispec.Descriptor `json:"subject"`
		}
		if err := json.Unmarshal(content, &manifest); err == nil && manifest.Subject != nil {
			subject := manifest.Subject.Digest.String()
			found[subject] = append(found[subject], plain(entry))
		}
	}
	return found, nil
}

// SplitName splits the name of an entry of the index into repository and tag. If the tag stands
// alone, the repository is "".
func SplitName(name string) (repository, tag string) {
	colon := strings.LastIndex(name, ":")
	if colon <= strings.LastIndex(name, "/") {
		return "", name
	}
	return name[:colon], name[colon+1:]
}
