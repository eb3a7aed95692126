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

// Package oci asks registries about images through the host. The host uses its own credentials, and
// asks only the registries that its configuration allows. Images are named as in a Pod.
//
// A failure is a policy.HostError.
package oci

import (
	"encoding/json"
	"errors"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/capability"
)

const namespace = "oci"

// ManifestDigest returns the digest of an image's manifest, such as sha256:….
func ManifestDigest(image string) (string, error) {
	answer, err := capability.Call[struct {
		Digest string `json:"digest"`
	}](namespace, "v1/manifest_digest", image)
	return answer.Digest, err
}

// Manifest returns the manifest or the index of an image in JSON, in the format of OCI or Docker.
func Manifest(image string) (json.RawMessage, error) {
	return capability.CallRaw(namespace, "v1/oci_manifest", image)
}

// Image is the image for the host's platform.
type Image struct {
	// Digest is the digest of the manifest.
	Digest string `json:"digest"`
	// Manifest and Config are those of the image, in JSON. A config may be {}.
	Manifest json.RawMessage `json:"manifest"`
	Config   json.RawMessage `json:"config"`
}

// ManifestAndConfig returns the manifest and the configuration of an image. For an index, it
// returns those of the image for the host's platform.
func ManifestAndConfig(image string) (Image, error) {
	return capability.Call[Image](namespace, "v1/oci_manifest_config", image)
}

// Identity is a signer without a key: the subject that an OIDC issuer vouches for.
type Identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// PrefixIdentity is like [Identity], but its subject is a URL with a prefix.
type PrefixIdentity struct {
	Issuer    string `json:"issuer"`
	URLPrefix string `json:"url_prefix"`
}

// CertificateIdentity is a signer with the key of a certificate.
type CertificateIdentity struct {
	// Certificate is PEM or DER.
	Certificate []byte
	// Chain contains the certificates that vouch for it, the root last. nil means the host's trust
	// root. An empty chain vouches for nothing.
	Chain [][]byte
	// RequireRekorBundle requires an entry in the transparency log.
	RequireRekorBundle bool
}

// signature is the demand on the signatures of an image.
type signature struct {
	Type             string              `json:"type"`
	Image            string              `json:"image"`
	PublicKeys       []string            `json:"pub_keys,omitempty"`
	Identities       []Identity          `json:"keyless,omitempty"`
	PrefixIdentities []PrefixIdentity    `json:"keyless_prefix,omitempty"`
	Owner            string              `json:"owner,omitempty"`
	Repo             string              `json:"repo,omitempty"`
	Certificate      capability.Bytes    `json:"certificate,omitempty"`
	Chain            *[]capability.Bytes `json:"certificate_chain,omitempty"`
	RequireRekor     *bool               `json:"require_rekor_bundle,omitempty"`
	Annotations      map[string]string   `json:"annotations,omitempty"`
}

// VerifyPublicKeys verifies that an image is signed with every one of the keys, in PEM, and that
// the signatures have the annotations. It returns the digest that is signed.
func VerifyPublicKeys(image string, keys []string,
	annotations map[string]string) (digest string, err error) {
	return verify(signature{
		Type:        "SigstorePubKeyVerify",
		Image:       image,
		PublicKeys:  keys,
		Annotations: annotations,
	})
}

// VerifyKeyless is like [VerifyPublicKeys], but for signatures by identities.
func VerifyKeyless(image string, identities []Identity,
	annotations map[string]string) (digest string, err error) {
	return verify(signature{
		Type:        "SigstoreKeylessVerify",
		Image:       image,
		Identities:  identities,
		Annotations: annotations,
	})
}

// VerifyKeylessPrefix is like [VerifyKeyless], but for subjects that begin with a URL.
func VerifyKeylessPrefix(image string, identities []PrefixIdentity,
	annotations map[string]string) (digest string, err error) {
	return verify(signature{
		Type:             "SigstoreKeylessPrefixVerify",
		Image:            image,
		PrefixIdentities: identities,
		Annotations:      annotations,
	})
}

// VerifyGitHubActions is like [VerifyPublicKeys], but for signatures by GitHub Actions in a
// repository of an owner. If repo is "", any repository of the owner will do.
func VerifyGitHubActions(image, owner, repo string,
	annotations map[string]string) (digest string, err error) {
	return verify(signature{
		Type:        "SigstoreGithubActionsVerify",
		Image:       image,
		Owner:       owner,
		Repo:        repo,
		Annotations: annotations,
	})
}

// VerifyCertificate is like [VerifyPublicKeys], but for a signature with the key of a certificate.
func VerifyCertificate(image string, identity CertificateIdentity,
	annotations map[string]string) (digest string, err error) {
	s := signature{Type: "SigstoreCertificateVerify", Image: image,
		Certificate:  identity.Certificate,
		RequireRekor: &identity.RequireRekorBundle, Annotations: annotations}
	if identity.Chain != nil {
		chain := make([]capability.Bytes, len(identity.Chain))
		for n, certificate := range identity.Chain {
			chain[n] = certificate
		}
		s.Chain = &chain
	}
	return verify(s)
}

var errNotTrusted = errors.New("the host does not trust the image")

func verify(s signature) (digest string, err error) {
	answer, err := capability.Call[struct {
		IsTrusted bool   `json:"is_trusted"`
		Digest    string `json:"digest"`
	}](namespace, "v2/verify", s)
	// Hosts return an error instead, but the protocol has this field.
	if err == nil && !answer.IsTrusted {
		err = errNotTrusted
	}
	if err != nil {
		return "", err
	}
	return answer.Digest, nil
}
