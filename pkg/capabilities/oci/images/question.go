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

package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// The texts that Kubewarden's users know.
var (
	errNoKeys    = errors.New("Must provide at least one pub key") //nolint:staticcheck // Kubewarden's text
	errNoKeyless = errors.New("Must provide keyless info")         //nolint:staticcheck // Kubewarden's text
	errNoOwner   = errors.New("Must provide owner info")           //nolint:staticcheck // Kubewarden's text
)

var errNoChecker = errors.New(
	"image signatures cannot be verified: this program was built without a signature checker")

// verifyRequest is a request to verify an image in any way.
type verifyRequest struct {
	Type        string            `json:"type"`
	Annotations map[string]string `json:"annotations"`

	PubKeys []string `json:"pub_keys"`
	Keyless []struct {
		Issuer  string `json:"issuer"`
		Subject string `json:"subject"`
	} `json:"keyless"`
	KeylessPrefix []struct {
		Issuer    string `json:"issuer"`
		URLPrefix string `json:"url_prefix"`
	} `json:"keyless_prefix"`
	Owner string  `json:"owner"`
	Repo  *string `json:"repo"`

	Certificate        []byte   `json:"certificate"`
	CertificateChain   [][]byte `json:"certificate_chain"`
	RequireRekorBundle *bool    `json:"require_rekor_bundle"`
}

// judge returns nil if the candidates for an artifact meet the demands.
type judge func(ctx context.Context, artifact verification.Artifact,
	candidates iter.Seq2[*verification.Candidate, error]) error

// parseVerify parses the demands of a request to verify an image.
func parseVerify(operation string, payload []byte, checker verification.Checker) (judge, error) {
	if checker == nil {
		return nil, errNoChecker
	}
	r, err := parseRequest(operation, payload)
	if err != nil {
		return nil, err
	}
	if r.Type == "SigstoreCertificateVerify" {
		return r.byCertificate(checker)
	}
	signatures, err := r.signatures()
	if err != nil {
		return nil, err
	}
	for n := range signatures {
		signatures[n].Annotations = r.Annotations
	}
	config, err := verification.NewConfig(signatures...)
	if err != nil {
		return nil, fmt.Errorf("the policy's demands on the image: %w", err)
	}
	if config.Keyless() && checker.TrustRoot() == "" {
		return nil, fmt.Errorf(
			"the policy demands a signature by an identity: %w to verify certificates by: set verification.trustRoot",
			verification.ErrNoTrustRoot)
	}
	return func(ctx context.Context, artifact verification.Artifact,
		candidates iter.Seq2[*verification.Candidate, error]) error {
		return verification.Judge(ctx, checker, artifact, candidates,
			verification.Demand{Name: "the policy's request", Config: config})
	}, nil
}

// parseRequest parses the common part of both versions. In version 1, the name of the only field
// says how to verify.
func parseRequest(operation string, payload []byte) (*verifyRequest, error) {
	way := ""
	if operation == oci.VerifyV1 {
		var outer map[string]json.RawMessage
		if err := kjson.UnmarshalCaseSensitivePreserveInts(payload, &outer); err != nil ||
			len(outer) != 1 {
			return nil, fmt.Errorf(
				"the payload is not a request to verify an image in one way: %w", err)
		}
		for way, payload = range outer {
		}
	}
	r := &verifyRequest{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(payload, r); err != nil {
		return nil, fmt.Errorf("the payload is not a request to verify an image: %w", err)
	}
	if way != "" {
		r.Type = way
	}
	return r, nil
}

// signatures returns the demanded signatures. All of them are required.
func (r *verifyRequest) signatures() (all []verification.Signature, err error) {
	switch r.Type {
	case "SigstorePubKeyVerify":
		for _, key := range r.PubKeys {
			all = append(all, verification.Signature{Kind: verification.KindPublicKey, Key: key})
		}
		err = errNoKeys
	case "SigstoreKeylessVerify":
		for _, k := range r.Keyless {
			all = append(all, verification.Signature{
				Kind:    verification.KindGenericIssuer,
				Issuer:  k.Issuer,
				Subject: &verification.Subject{Equal: k.Subject},
			})
		}
		err = errNoKeyless
	case "SigstoreKeylessPrefixVerify":
		for _, k := range r.KeylessPrefix {
			all = append(all, verification.Signature{
				Kind:    verification.KindGenericIssuer,
				Issuer:  k.Issuer,
				Subject: &verification.Subject{URLPrefix: k.URLPrefix},
			})
		}
		err = errNoKeyless
	case "SigstoreGithubActionsVerify":
		s := verification.Signature{Kind: verification.KindGitHubAction, Owner: r.Owner}
		if r.Repo != nil {
			if s.Repo = *r.Repo; s.Repo == "" {
				return nil, errors.New(
					"repo: is empty: write a name, or leave it out if all repositories of the owner are meant")
			}
		}
		if r.Owner != "" {
			all = append(all, s)
		}
		err = errNoOwner
	default:
		return nil, fmt.Errorf("unknown way %.100q to verify an image", r.Type)
	}
	if len(all) == 0 {
		return nil, err
	}
	return all, nil
}

func (r *verifyRequest) byCertificate(checker verification.Checker) (judge, error) {
	switch {
	case len(r.Certificate) == 0:
		return nil, errors.New(
			"certificate: is missing: write the certificate that must have signed, in PEM, as an array of bytes")
	case r.RequireRekorBundle == nil:
		return nil, errors.New("require_rekor_bundle: is missing: write true or false")
	}
	demand := verification.CertificateDemand{
		Certificate: r.Certificate,
		Chain:       r.CertificateChain,
		Rekor:       *r.RequireRekorBundle,
		Annotations: r.Annotations,
	}
	return func(ctx context.Context, artifact verification.Artifact,
		candidates iter.Seq2[*verification.Candidate, error]) error {
		return verification.JudgeCertificate(ctx, checker, artifact, candidates, demand)
	}, nil
}
