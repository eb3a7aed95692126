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

// Package signatures lists the signatures of a module without verifying them.
package signatures

import (
	"context"
	"errors"
	"fmt"

	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// Report lists the signatures found for a module. Nothing in it is verified.
type Report struct {
	// Verified is always false, as a note to readers.
	Verified bool `json:"verified"`
	// Digest is the digest that they sign: that of the manifest, or of the file.
	Digest string `json:"digest,omitempty"`
	// Found lists signatures, and objects that look like signatures.
	Found []Found `json:"found"`
	// Problems lists places that could not be read, where more signatures may be.
	Problems []string `json:"problems,omitempty"`
}

// Found is a signature, or an object that looks like one.
type Found struct {
	// Place says where it was found.
	Place string `json:"place"`
	sigstore.Description
}

// Fetcher fetches modules, and verifies them with the verifier that it was created with.
type Fetcher interface {
	Get(ctx context.Context, request module.Request) (*module.Module, error)
}

// Look returns the signatures of the module that a request names. The function fetcher creates a
// fetcher with the given verifier. Look does not close it.
func Look(ctx context.Context, request module.Request,
	fetcher func(module.Verifier) Fetcher) *Report {
	c := &collector{report: Report{Found: []Found{}}}
	if _, err := fetcher(c).Get(ctx, request); err != nil && !errors.Is(err, errLooked) {
		c.report.Problems = append(c.report.Problems, err.Error())
	}
	return &c.report
}

// errLooked ends a fetch once the signatures have been found, because the module itself is not
// needed.
var errLooked = errors.New("its signatures were looked at")

// collector is a [module.Verifier] that accepts nothing, and collects signatures.
type collector struct{ report Report }

// Identity implements [module.Verifier]. It is empty, because nothing was accepted before.
func (c *collector) Identity(string) string { return "" }

// Verify implements [module.Verifier].
func (c *collector) Verify(ctx context.Context, a module.Artifact) ([]byte, error) {
	candidates, err := modules.Candidates(ctx, a)
	if err != nil {
		return nil, err
	}
	signed := modules.Signed(a)
	// If the source itself is asked after a mirror, the mirror's result is dropped.
	c.report = Report{Digest: signed.Digest, Found: []Found{}}
	for candidate, err := range candidates {
		switch skipped := (*verification.SkippedError)(nil); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &skipped):
			c.report.Found = append(c.report.Found,
				Found{skipped.Place, sigstore.Description{Problem: skipped.Err.Error()}})
		case err != nil:
			c.report.Problems = append(c.report.Problems, err.Error())
		default:
			c.report.Found = append(c.report.Found,
				Found{candidate.Place, *sigstore.Describe(candidate, signed)})
		}
	}
	if len(c.report.Found)+len(c.report.Problems) == 0 {
		return nil, fmt.Errorf("%w: there are none: %w", errLooked, errdef.ErrNotFound)
	}
	return nil, errLooked
}
