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

package verification

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// NewConfig returns a config that demands all of the given signatures. It drops duplicates. Errors
// are like those of [ParseConfig].
func NewConfig(signatures ...Signature) (*Config, error) {
	if len(signatures) == 0 || len(signatures) > maxSignatures {
		return nil, fmt.Errorf("%d signatures are demanded: write from 1 to %d", len(signatures),
			maxSignatures)
	}
	c := &Config{AllOf: slices.Clone(signatures)}
	c.normalize() // makes duplicates comparable
	var distinct []Signature
	for n := range c.AllOf {
		if !slices.ContainsFunc(distinct, c.AllOf[n].demandsSameAs) {
			distinct = append(distinct, c.AllOf[n])
		}
	}
	c.AllOf = distinct
	if errs := c.normalize(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

func (s *Signature) demandsSameAs(other Signature) bool {
	return s.Kind == other.Kind && s.Key == other.Key && s.demandsSame(&other)
}

// CertificateDemand demands a signature by a certificate. A config cannot express this.
type CertificateDemand struct {
	// Certificate and Chain have the form that [Checker] expects.
	Certificate []byte
	Chain       [][]byte
	// Rekor demands an entry in a log of the trust root.
	Rekor bool
	// Annotations are annotations that the signature must cover.
	Annotations map[string]string
}

// JudgeCertificate is like [Judge], for a signature by a certificate.
func JudgeCertificate(ctx context.Context, checker Checker, artifact Artifact,
	candidates iter.Seq2[*Candidate, error], d CertificateDemand) error {
	var r report
	wanted := &Signature{Kind: KindPublicKey, Annotations: d.Annotations}
	for candidate, err := range candidates {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.note(err)
			continue
		}
		signed, err := checker.Certificate(ctx, candidate, artifact, d.Certificate, d.Chain,
			d.Rekor)
		if err == nil {
			err = wanted.accepts(signed)
		}
		if err == nil {
			return nil
		}
		r.found(candidate.Place, err.Error())
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &UnmetError{
		Unmet:  []string{"the certificate"},
		Found:  r.lines,
		Count:  r.count,
		Unread: errors.Join(r.unread...),
	}
}
