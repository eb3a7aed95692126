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
	// by a digest of them for example, of a module with demands of its own. A module that
	// was accepted under one identity is not taken as accepted under another. Under ""
	// nothing is taken as accepted: Verify is called every time.
	Identity(demands string) string
	// Verify returns an error if the artifact must not be used. One that wraps
	// errdef.ErrNotFound of oras-go says that there is nothing to verify by at this
	// place: if it is a mirror, the source itself is asked.
	//
	// The evidence is what it accepted the artifact by. It is kept with the module, and
	// shown to the verifier instead of a place to ask when the module is wanted again,
	// after a restart or under another identity; then it is not looked at. None has the
	// place be asked again.
	Verify(ctx context.Context, artifact Artifact) (evidence []byte, err error)
}

// Artifact is what a [Verifier] is asked about.
type Artifact struct {
	// URI is what the configuration calls it.
	URI string
	// Digest is that of the module. If it comes from a registry it has not been
	// downloaded yet: it is what the manifest says, and what will be insisted on.
	Digest string
	// Demands are those of the [Request].
	Demands string
	// Evidence is what Verify returned for it, under this identity or another. It was
	// read from a disk. nil means that there is none; if there is some nobody is to be
	// asked, and Source and Beside are nil.
	Evidence []byte

	// Repository is host/repository in a registry, as the configuration has it and not
	// its mirror. "" means that the module does not come from a registry.
	Repository string
	// Manifest describes the manifest, which was read and has this digest. Only of a
	// module from a registry.
	Manifest ocispec.Descriptor
	// Source is the repository that the manifest was found in, the mirror's or the
	// registry's own, with its credentials, for reading what stands beside the manifest.
	// What it returns is bounded by what the caller reads. Only of a module from a
	// registry.
	Source oras.ReadOnlyGraphTarget

	// Bytes are the module. Only of one that does not come from a registry.
	Bytes []byte
	// Beside reads what stands beside the module: the file or the URL with a suffix at
	// the end of its path, where the module was found and else at the source itself. What
	// has more than most bytes is refused. The error wraps errdef.ErrNotFound if there is
	// nothing. Only of a module that does not come from a registry.
	Beside func(ctx context.Context, suffix string, most int64) ([]byte, error)
}

// verify asks the verifier, if there is one, and returns the evidence and the identity that it
// had before it judged: if that changes meanwhile, the module is shown to it again.
func verify(ctx context.Context, verifier Verifier, artifact Artifact) (identity string, evidence []byte, err error) {
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

// acceptedBefore says whether a module in memory need not be shown to the verifier again.
func acceptedBefore(verifier Verifier, demands, identity string) bool {
	return verifier == nil || identity != "" && identity == verifier.Identity(demands)
}

type unverifiedError struct{ err error }

func (u *unverifiedError) Error() string { return "not verified: " + u.err.Error() }
func (u *unverifiedError) Unwrap() error { return u.err }
