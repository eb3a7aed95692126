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

// Verifier decides whether a module may be used, by its signatures for example. It
// is asked before anything of the module is kept or returned. It must be safe for
// concurrent use.
type Verifier interface {
	// Identity names what the verifier demands, its configuration and its trust roots,
	// by a digest of them for example. A module that was accepted under one identity is
	// not taken as accepted under another. Under "" nothing is taken as accepted: Verify
	// is called every time.
	Identity() string
	// Verify returns an error if the artifact must not be used. One that wraps
	// errdef.ErrNotFound of oras-go says that there is nothing to verify by at this
	// place: if it is a mirror, the source itself is asked.
	Verify(ctx context.Context, artifact Artifact) error
}

// Artifact is what a [Verifier] is asked about.
type Artifact struct {
	// URI is what the configuration calls it.
	URI string
	// Digest is that of the module. If it comes from a registry it has not been
	// downloaded yet: it is what the manifest says, and what will be insisted on.
	Digest string
	// Repository is host/repository in a registry, as the configuration has it and not
	// its mirror. "" means that the module does not come from a registry; what follows is
	// zero then.
	Repository string
	// Manifest describes the manifest, which was read and has this digest.
	Manifest ocispec.Descriptor
	// Source is the repository that the manifest was found in, the mirror's or the
	// registry's own, with its credentials, for reading what stands beside the manifest.
	// What it returns is bounded by what the caller reads.
	Source oras.ReadOnlyGraphTarget
}

// verify asks the verifier, if there is one, and returns its identity.
func verify(ctx context.Context, verifier Verifier, artifact Artifact) (string, error) {
	if verifier == nil {
		return "", nil
	}
	identity := verifier.Identity()
	err := verifier.Verify(ctx, artifact)
	if err == nil {
		return identity, nil
	}
	e := *classify(err)
	if e.Cause == CauseOther {
		e.Cause = CauseUnverified
	}
	e.Err = &unverifiedError{err: e.Err}
	return "", &e
}

// acceptedBefore says whether a module need not be shown to the verifier again.
func acceptedBefore(verifier Verifier, identity string) bool {
	return verifier == nil || identity != "" && identity == verifier.Identity()
}

type unverifiedError struct{ err error }

func (u *unverifiedError) Error() string { return "not verified: " + u.err.Error() }
func (u *unverifiedError) Unwrap() error { return u.err }
