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

package module

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
)

// Verifier decides whether a module may be used, for example by its signatures. It is asked before
// any part of the module is kept or returned. It must be safe for concurrent use.
type Verifier interface {
	// Identity identifies what the verifier requires of a module with the given demands: its
	// configuration and its trust roots, for example by a digest. Acceptance under one identity
	// does not count under another. With an empty identity, no earlier acceptance counts, and
	// Verify is called every time.
	Identity(demands string) string
	// Verify returns an error if the artifact must not be used. If the error wraps
	// errdef.ErrNotFound of oras-go, this place has nothing by which to verify the artifact. If the
	// place is a mirror, the source itself is then asked.
	//
	// The evidence is the basis on which the verifier accepted the artifact. It is kept with the
	// module. When the module is wanted again, after a restart or under another identity, the
	// verifier gets the evidence instead of a place to ask, and what it then returns as evidence is
	// ignored. If Verify returns no evidence, the place is asked again.
	Verify(ctx context.Context, artifact Artifact) (evidence []byte, err error)
}

// Artifact is what a [Verifier] judges.
type Artifact struct {
	// URI is the artifact's address in the configuration.
	URI string
	// Digest is the digest of the module. A module with a manifest has not been read yet: the
	// digest comes from the manifest and is enforced later.
	Digest string
	// Demands are the demands of the [Request].
	Demands string
	// Evidence is what Verify returned for the artifact, under this identity or another, as read
	// from disk. If there is none, it is nil. With evidence, the verifier must not contact anyone,
	// and Source and Beside are nil.
	Evidence []byte

	// Repository is host/repository in a registry, as in the configuration, not the mirror's. For a
	// module in an OCI image layout without that name, it is the layout's path. Empty means that
	// the module is a file or a web server's.
	Repository string
	// Manifest describes the manifest, which was read and has this digest. It is set only with
	// Repository.
	Manifest ocispec.Descriptor
	// Source is the repository where the manifest was found, with its credentials: the mirror's,
	// the registry's own, or the layout's. It serves to read what is stored beside the manifest.
	// The caller must bound what it reads. It is set only with Repository.
	Source oras.ReadOnlyGraphTarget

	// Bytes are the module. They are set only without Repository.
	Bytes []byte
	// Beside reads what is stored beside the module: the file or the URL with a suffix appended to
	// its path. It reads from where the module was found, and otherwise from the source itself. It
	// refuses content of more than most bytes. The error wraps errdef.ErrNotFound if there is
	// nothing. It is set only without Repository.
	Beside func(ctx context.Context, suffix string, most int64) ([]byte, error)
}

// verify asks the verifier, if there is one. It returns the evidence, and the verifier's identity
// from before the judgment: if the identity changes meanwhile, the verifier judges the module
// again.
func verify(ctx context.Context, verifier Verifier,
	artifact Artifact) (identity string, evidence []byte, err error) {
	if verifier == nil {
		return "", nil, nil
	}
	identity = verifier.Identity(artifact.Demands)
	if evidence, err = verifier.Verify(ctx, artifact); err == nil {
		return identity, evidence, nil
	}
	e := &Error{Cause: classify(err).Cause, Err: &unverifiedError{err: err}}
	if e.Cause == CauseOther || e.Cause == CauseNotFound {
		e.Cause = CauseUnverified
	}
	return "", nil, e
}

// acceptedBefore reports whether a module in memory does not need another verification.
func acceptedBefore(verifier Verifier, demands, identity string) bool {
	return verifier == nil || identity != "" && identity == verifier.Identity(demands)
}

type unverifiedError struct{ err error }

func (u *unverifiedError) Error() string { return "not verified: " + u.err.Error() }
func (u *unverifiedError) Unwrap() error { return u.err }
