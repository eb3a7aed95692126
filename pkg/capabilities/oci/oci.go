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

// Package oci implements the host capability oci. The caller provides the [Images] that reads
// registries and verifies signatures. Without it, every call fails with a clear error.
package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// The operations.
const (
	VerifyV1          = "v1/verify"
	VerifyV2          = "v2/verify"
	ManifestDigest    = "v1/manifest_digest"
	Manifest          = "v1/oci_manifest"
	ManifestAndConfig = "v1/oci_manifest_config"
)

// maxImageBytes bounds the reference of an image.
const maxImageBytes = 4096

// Images answers questions about images in registries. Implementations are safe for concurrent use
// and return when ctx ends.
type Images interface {
	// Ask answers one of the operations for an image, in JSON. The request is the payload: the
	// image as a JSON string, or for the two verify operations an object that names the image. The
	// caller is the policy.
	Ask(ctx context.Context, caller *capabilities.Caller, operation, image string,
		request []byte) ([]byte, error)
}

// errNotAvailable is the error for guests if there is no [Images].
var errNotAvailable = errors.New(
	"host capability oci is not available: this program does not read images from registries")

// OCI answers the host calls of namespace oci. It is safe for concurrent use.
type OCI struct{ images Images }

var _ capabilities.Capability = &OCI{}

// New returns the capability. With nil images, every call fails.
func New(images Images) *OCI { return &OCI{images} }

// Call implements [capabilities.Capability].
func (o *OCI) Call(ctx context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	imageOf := map[string]func([]byte) (string, error){
		VerifyV1: verifyV1Image, VerifyV2: verifyV2Image,
		ManifestDigest: plainImage, Manifest: plainImage, ManifestAndConfig: plainImage,
	}[operation]
	if imageOf == nil {
		return nil, fmt.Errorf("unknown operation: %s", operation)
	}
	image, err := imageOf(payload)
	if err != nil {
		return nil, err
	}
	if image == "" {
		return nil, errors.New("the payload names no image")
	}
	if len(image) > maxImageBytes {
		return nil, fmt.Errorf("the name of the image has %d bytes: at most %d are allowed",
			len(image), maxImageBytes)
	}
	if o.images == nil {
		return nil, &capabilities.FailedError{Err: errNotAvailable}
	}
	answer, err := o.images.Ask(ctx, caller, operation, image, bytes.Clone(payload))
	if err != nil {
		return nil, &capabilities.FailedError{Err: err}
	}
	return answer, nil
}

func plainImage(payload []byte) (image string, err error) {
	if err := json.Unmarshal(payload, &image); err != nil {
		return "", fmt.Errorf("the payload is not an image as a JSON string: %w", err)
	}
	return image, nil
}

// verification holds the common field of all verify requests.
type verification struct {
	Image string `json:"image"`
}

// verifyV1Image parses a request that is an object with one field. The field's name says how to
// verify.
func verifyV1Image(payload []byte) (string, error) {
	var request map[string]*verification
	if err := json.Unmarshal(payload, &request); err != nil {
		return "", fmt.Errorf("the payload is not a request to verify an image: %w", err)
	}
	if len(request) != 1 {
		return "", fmt.Errorf("the payload has %d ways to verify an image: exactly one is needed",
			len(request))
	}
	for way, v := range request {
		if way != "SigstorePubKeyVerify" && way != "SigstoreKeylessVerify" {
			return "", unknownWay(way)
		}
		if v != nil {
			return v.Image, nil
		}
	}
	return "", nil
}

// ways are the types of verification in [VerifyV2].
var ways = map[string]bool{
	"SigstorePubKeyVerify": true, "SigstoreKeylessVerify": true,
	"SigstoreKeylessPrefixVerify": true,
	"SigstoreGithubActionsVerify": true, "SigstoreCertificateVerify": true,
}

// verifyV2Image parses a request with a field type, which says how to verify.
func verifyV2Image(payload []byte) (string, error) {
	var request struct {
		verification
		Type string `json:"type"`
	}
	if err := json.Unmarshal(payload, &request); err != nil {
		return "", fmt.Errorf("the payload is not a request to verify an image: %w", err)
	}
	if !ways[request.Type] {
		return "", unknownWay(request.Type)
	}
	return request.Image, nil
}

func unknownWay(way string) error {
	return fmt.Errorf("unknown way %.100q to verify an image", way)
}
