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

// Package signatures shows which signatures there are of a module, without judging them.
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

// Report is what is found where signatures of a module are. Nothing of it is verified.
type Report struct {
	// Verified is false: it is there to be read.
	Verified bool `json:"verified"`
	// Digest is that of what they sign: of the manifest, or of the file.
	Digest string `json:"digest,omitempty"`
	// Found are the signatures, and what looks like such.
	Found []Found `json:"found"`
	// Problems say what could not be read: there may be more signatures.
	Problems []string `json:"problems,omitempty"`
}

// Found is something that is, or looks like, a signature.
type Found struct {
	// Place says where it is.
	Place string `json:"place"`
	sigstore.Description
}

// Fetcher fetches modules, and has them verified by what it was made with.
type Fetcher interface {
	Get(ctx context.Context, request module.Request) (*module.Module, error)
}

// Look returns what signatures there are of what a request is for. The fetcher is made with the
// verifier given, and is not closed.
func Look(ctx context.Context, request module.Request, fetcher func(module.Verifier) Fetcher) *Report {
	c := &collector{report: Report{Found: []Found{}}}
	if _, err := fetcher(c).Get(ctx, request); err != nil && !errors.Is(err, errLooked) {
		c.report.Problems = append(c.report.Problems, err.Error())
	}
	return &c.report
}

// errLooked ends a fetch once it has led to signatures: the module is not needed.
var errLooked = errors.New("its signatures were looked at")

// collector is a [module.Verifier] that accepts nothing, and notes what there is.
type collector struct{ report Report }

// Identity implements [module.Verifier]: nothing was accepted before.
func (c *collector) Identity(string) string { return "" }

// Verify implements [module.Verifier].
func (c *collector) Verify(ctx context.Context, a module.Artifact) ([]byte, error) {
	candidates, err := modules.Candidates(ctx, a)
	if err != nil {
		return nil, err
	}
	signed := modules.Signed(a)
	// What a mirror had is forgotten if the source itself is asked.
	c.report = Report{Digest: signed.Digest, Found: []Found{}}
	for candidate, err := range candidates {
		switch skipped := (*verification.SkippedError)(nil); {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &skipped):
			c.report.Found = append(c.report.Found, Found{skipped.Place, sigstore.Description{Problem: skipped.Err.Error()}})
		case err != nil:
			c.report.Problems = append(c.report.Problems, err.Error())
		default:
			c.report.Found = append(c.report.Found, Found{candidate.Place, *sigstore.Describe(candidate, signed)})
		}
	}
	if len(c.report.Found)+len(c.report.Problems) == 0 {
		return nil, fmt.Errorf("%w: there are none: %w", errLooked, errdef.ErrNotFound)
	}
	return nil, errLooked
}
