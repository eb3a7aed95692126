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

package modules

import (
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"

	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// maxOtherBytes bounds the candidates kept that met no demand. They may meet the demands of another
// config. Without this bound, a writer to the registry could fill the size limit of the storage and
// crowd out the accepted candidates.
const maxOtherBytes = 128 << 10

// evidence holds the candidates that were checked until all demands were met, so that they can be
// checked again later.
type evidence struct {
	Candidates []*verification.Candidate `json:"candidates,omitempty"`
}

// bound drops candidates that met no demand once their total size is too large.
func (e *evidence) bound(metBy []*verification.Candidate) {
	others := 0
	e.Candidates = slices.DeleteFunc(e.Candidates, func(c *verification.Candidate) bool {
		size := len(c.Bundle) + len(c.Payload) + len(c.Signature) + len(c.Certificate) +
			len(c.Chain) + len(c.RekorBundle)
		switch {
		case slices.Contains(metBy, c):
			return false
		case others+size > maxOtherBytes:
			return true
		}
		others += size
		return false
	})
}

// sequence is how candidates are handed on: one by one, as they are fetched.
type sequence = iter.Seq2[*verification.Candidate, error]

// record stores the candidates that pass through.
func (e *evidence) record(candidates sequence) sequence {
	return func(yield func(*verification.Candidate, error) bool) {
		for candidate, err := range candidates {
			if err == nil {
				e.Candidates = append(e.Candidates, candidate)
			}
			if !yield(candidate, err) {
				return
			}
		}
	}
}

func (e *evidence) candidates() sequence {
	return func(yield func(*verification.Candidate, error) bool) {
		for _, candidate := range e.Candidates {
			if candidate != nil && !yield(candidate, nil) {
				return
			}
		}
	}
}

// explain adds the digest of the artifact to an error, and the places that were searched if there
// are no signatures. If it is certain that there are none, the error is an errdef.ErrNotFound.
func explain(a module.Artifact, digest string, err error) error {
	err = fmt.Errorf("%s: %w", digest, err)
	unmet := (*verification.UnmetError)(nil)
	if !errors.As(err, &unmet) || unmet.Count > 0 || unmet.Unread != nil {
		return err
	}
	switch {
	case a.Evidence != nil:
		return fmt.Errorf("%w in the store", err)
	case a.Repository == "":
		return &unsignedError{
			fmt.Errorf("%w; looked for %s, as cosign sign-blob --bundle writes it", err,
				nameOfBundle(a)),
		}
	}
	return &unsignedError{
		fmt.Errorf("%w; looked for the tag %s.sig and referrers in %s", err,
			strings.Replace(digest, ":", "-", 1), a.Repository),
	}
}

// unsignedError says that there is no signature in a place.
type unsignedError struct{ err error }

func (u *unsignedError) Error() string        { return u.err.Error() }
func (u *unsignedError) Unwrap() error        { return u.err }
func (u *unsignedError) Is(target error) bool { return target == errdef.ErrNotFound }

// nameOfBundle returns the bundle's file name for a module that does not come from a registry.
func nameOfBundle(a module.Artifact) string {
	uri, _, _ := strings.Cut(module.Redact(a.URI), "?")
	return path.Base(uri) + BundleSuffix
}
