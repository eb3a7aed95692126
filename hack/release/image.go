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
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const source = "https://github.com/wasm-admission/wasm-admission"

// platformImage is a program for a platform, and the image that contains it.
type platformImage struct {
	program  string
	platform v1.Platform
	content  []byte
	v1.Image
}

// writeImage writes a program's images for all platforms as one OCI layout, in which an SBOM refers
// to each image, and as one archive for docker per platform.
func (r *release) writeImage(ctx context.Context, n imageName) error {
	tag, err := name.NewTag(r.registry+"/"+n.program+":"+n.tag, name.StrictValidation)
	if err != nil {
		return err
	}
	annotations := map[string]string{
		ocispec.AnnotationCreated:  r.date.Format(time.RFC3339),
		ocispec.AnnotationVersion:  n.tag,
		ocispec.AnnotationSource:   source,
		ocispec.AnnotationLicenses: "Apache-2.0",
	}
	images := make([]platformImage, 0, len(r.platforms))
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range r.platforms {
		content, err := os.ReadFile(filepath.Join(r.programs, directory(platform), n.program))
		if err != nil {
			return err
		}
		image, err := newImage(n.program, content, platform, r.date)
		if err != nil {
			return err
		}
		image = mutate.Annotations(image, annotations).(v1.Image)
		file := fmt.Sprintf("%s-%s-%s.docker.tar", n.program, n.tag, directory(platform))
		err = tarball.WriteToFile(filepath.Join(r.output, "images", file), tag, image)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
		images = append(images, platformImage{n.program, platform, content, image})
	}
	index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	path := filepath.Join(r.output, "images", n.program+"-"+n.tag+".oci")
	if err := writeLayout(path, tag, index); err != nil {
		return err
	}
	for _, image := range images {
		document, err := r.writeSBOM(image)
		if err == nil {
			err = attach(ctx, path, image, document, r.date)
		}
		if err != nil {
			return fmt.Errorf("SBOM: %w", err)
		}
	}
	if err := sortIndex(path); err != nil {
		return err
	}
	fmt.Printf("%s@%s\n", tag, digest)
	return nil
}

// newImage returns an image that contains only a static program and the certificate authorities
// that it trusts. The image sets no user: a control plane component runs as root in its container,
// and the manifests set a user for everything else.
func newImage(program string, content []byte, platform v1.Platform,
	date time.Time) (v1.Image, error) {
	authorities, err := certificateAuthorities()
	if err != nil {
		return nil, err
	}
	layers := make([]v1.Layer, 0, 2)
	for _, files := range [][]file{
		{
			{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities},
			{path: "tmp/", mode: 0o1777},
		},
		{{path: "usr/local/bin/" + program, mode: 0o755, content: content}},
	} {
		archive, err := archiveOf(files, date)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(archive)), nil
		}, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON)
	for _, layer := range layers {
		if image, err = mutate.Append(image,
			mutate.Addendum{
				Layer:   layer,
				History: v1.History{Created: v1.Time{Time: date}, CreatedBy: "release"},
			}); err != nil {
			return nil, err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture,
		platform.Variant
	config.Created = v1.Time{Time: date}
	config.Config = v1.Config{
		Entrypoint: []string{"/usr/local/bin/" + program},
		Env: []string{
			"PATH=/usr/local/bin", // kubeadm starts programs by name
			"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
		},
	}
	return mutate.ConfigFile(image, config)
}

// writeLayout replaces the layout at path by one of the index, under its tag.
func writeLayout(path string, tag name.Tag, index v1.ImageIndex) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	to, err := layout.Write(path, empty.Index)
	if err != nil {
		return err
	}
	return to.AppendIndex(index,
		layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: tag.TagStr()}))
}

// file is one in a layer or an archive; a path that ends with / is a directory.
type file struct {
	path    string
	mode    int64
	content []byte
}

// archiveOf is a tar of files that belong to root and were last changed at date.
func archiveOf(files []file, date time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{
			Name:     f.path,
			Mode:     f.mode,
			Size:     int64(len(f.content)),
			ModTime:  date,
			Typeflag: tar.TypeReg,
			Format:   tar.FormatUSTAR,
		}
		if f.path[len(f.path)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
