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

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
)

// spdxType is the media type of an SPDX document in JSON.
// https://www.iana.org/assignments/media-types/application/spdx+json
const spdxType = "application/spdx+json"

// writeSBOM writes the SBOM of an image's program, and returns it.
func (r *release) writeSBOM(i platformImage) ([]byte, error) {
	document, err := os.ReadFile(filepath.Join(r.sboms, directory(i.platform), i.program+".json"))
	if err != nil {
		return nil, err
	}
	namespace := fmt.Sprintf("%s/spdx/%s-%s-%x", source, i.program, directory(i.platform),
		sha256.Sum256(i.content))
	if document, err = normalize(document, namespace, r.date); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-%s-%s.spdx.json", i.program, r.version, directory(i.platform))
	return document, os.WriteFile(filepath.Join(r.output, "sboms", name), document, 0o644)
}

// attach adds a document to a layout as a referrer of one of the layout's images.
func attach(ctx context.Context, layout string, image v1.Image, document []byte,
	date time.Time) error {
	store, err := oci.NewWithContext(ctx, layout)
	if err != nil {
		return err
	}
	subject, err := partial.Descriptor(image)
	if err != nil {
		return err
	}
	layer, err := oras.PushBytes(ctx, store, spdxType, document)
	if err != nil {
		return err
	}
	_, err = oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, spdxType,
		oras.PackManifestOptions{
			Subject: &ocispec.Descriptor{
				MediaType: string(subject.MediaType),
				Digest:    digest.Digest(subject.Digest.String()),
				Size:      subject.Size,
			},
			Layers: []ocispec.Descriptor{layer},
			ManifestAnnotations: map[string]string{
				ocispec.AnnotationCreated: date.Format(time.RFC3339),
			},
		})
	return err
}

// sortIndex sorts a layout's index by digest. oras writes it in a map's order, which differs each
// time.
func sortIndex(layout string) error {
	file := filepath.Join(layout, ocispec.ImageIndexFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int {
		// Named entries come first.
		return cmp.Or(
			cmp.Compare(b.Annotations[ocispec.AnnotationRefName],
				a.Annotations[ocispec.AnnotationRefName]),
			cmp.Compare(a.Digest, b.Digest),
		)
	})
	if text, err = json.Marshal(index); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// normalize replaces the parts of a document that differ between runs: its namespace and its time.
func normalize(document []byte, namespace string, date time.Time) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(document, &all); err != nil {
		return nil, err
	}
	creation, ok := all["creationInfo"].(map[string]any)
	if !ok || all["documentNamespace"] == nil {
		return nil, errors.New(
			"it is no SPDX document: it has no creationInfo or documentNamespace")
	}
	creation["created"] = date.Format(time.RFC3339)
	all["documentNamespace"] = namespace
	return json.MarshalIndent(all, "", " ")
}
