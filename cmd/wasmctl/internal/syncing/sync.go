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

package syncing

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
)

// maxFailures is how many attempts may fail in a row before [Keep] gives up, so that whoever
// watches the process learns of it.
const maxFailures = 10

// Wanted says what to bring where.
type Wanted struct {
	// Config is the valid configuration of a server. Its policyDirectory is what changes.
	Config *wasmadmission.WasmAdmissionConfiguration
	// URI is that of a set in a registry.
	URI string
	// Registries are asked for it.
	Registries *module.Registries
	// Verifier decides whether the set may be used. nil accepts a set that the URI names by its
	// digest, and no other.
	Verifier module.Verifier
}

// Result says what became of an attempt.
type Result struct {
	// Digest is that of the set.
	Digest string
	// Changed is whether the directory was changed: it had another set, or none.
	Changed bool
	// Files are how many manifests the set has.
	Files int
	// Warnings are what the server will say of them, and what could not be cleaned up.
	Warnings []string
}

// Sync brings a set from a registry into the policy directory. Nothing is changed before the set
// was verified, and was read as the server reads it. The error says why the directory was left as
// it is.
func Sync(ctx context.Context, w *Wanted) (result *Result, err error) {
	ref, err := moduleuri.ParseReference(strings.TrimPrefix(w.URI, "registry://"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", module.Redact(w.URI), err)
	case w.Config.PolicyDirectory == "":
		return nil, errors.New(
			"policyDirectory: Required value: name the directory that the set of policies is synced to")
	case w.Verifier == nil && ref.Digest == "":
		return nil, fmt.Errorf(
			"%s: whoever may push there would decide about admission: set verification in the configuration, or name the set by its digest",
			module.Redact(w.URI))
	}
	d, err := openDirectory(w.Config.PolicyDirectory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	ctx, cancel := context.WithTimeout(ctx, w.Config.Sources.Timeout.Duration)
	defer cancel()
	var got *fetched
	err = w.Registries.Each(ctx, w.URI, func(from *remote.Repository, name string) error {
		got, err = w.from(ctx, from, name, ref, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w.take(ctx, got, d)
}

// fetched is a set that may be used.
type fetched struct {
	*set
	files []file
	// held is whether the directory has it already. Then no file was fetched.
	held bool
}

// from fetches the set from one repository: that of the mirror, or the registry's own.
func (w *Wanted) from(ctx context.Context, from *remote.Repository, name string,
	ref moduleuri.Reference, d *directory) (*fetched, error) {
	s, err := fetchSet(ctx, from, name)
	if err != nil {
		return nil, err
	}
	if d.holds(s) {
		return &fetched{set: s, held: true}, nil
	}
	if w.Verifier != nil {
		digest := s.manifest.Digest.String()
		_, err := w.Verifier.Verify(ctx, module.Artifact{
			URI: w.URI, Digest: digest, Repository: ref.Registry + "/" + ref.Repository,
			Manifest: s.manifest, Source: from,
		})
		if err != nil {
			return nil, &module.Error{
				Cause: module.CauseUnverified,
				Err:   fmt.Errorf("%s is not verified: %w", digest, err),
			}
		}
	}
	files, err := s.fetch(ctx, from)
	return &fetched{set: s, files: files}, err
}

// take writes what was fetched, and has the policy directory become that. Its errors are of this
// machine, or of what the set says: no other registry would help.
func (w *Wanted) take(ctx context.Context, got *fetched, d *directory) (*Result, error) {
	result := &Result{Digest: got.manifest.Digest.String(), Files: len(got.layers)}
	if got.held {
		return result, nil
	}
	version, err := d.write(got.manifest, got.files)
	if err != nil {
		return nil, fmt.Errorf("policyDirectory: %w", err)
	}
	before := d.current()
	if result.Warnings, err = w.read(ctx, version); err == nil {
		err = d.change(version)
	}
	if err != nil {
		return nil, errors.Join(err, d.discard(version))
	}
	result.Changed = true
	if err := d.removeBut(filepath.Base(version), before); err != nil {
		result.Warnings = append(result.Warnings, "old versions cannot be removed: "+err.Error())
	}
	return result, nil
}

// read reads a version as the server would.
func (w *Wanted) read(ctx context.Context, version string) (warnings []string, err error) {
	config := *w.Config
	config.PolicyDirectory = version
	desired, err := reload.NewSource(&config).Policies(ctx)
	if err != nil {
		// The version is removed: its path would lead nowhere.
		return nil, fmt.Errorf("%s: the server would refuse it: %s", module.Redact(w.URI),
			strings.ReplaceAll(err.Error(), version+string(filepath.Separator), ""))
	}
	return desired.Warnings, nil
}

// Keep attempts again and again, until wait returns an error, which it has to when the context
// ends. It tells what becomes of each attempt. The error says that too many have failed in a row.
func Keep(ctx context.Context, attempt func(context.Context) (*Result, error),
	tell func(*Result, error), wait func(context.Context) error) error {
	for failures := 0; ; {
		result, err := attempt(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is to end
		}
		tell(result, err)
		if failures++; err == nil {
			failures = 0
		}
		if failures == maxFailures {
			return fmt.Errorf("%d attempts in a row have failed", failures)
		}
		if wait(ctx) != nil {
			return nil //nolint:nilerr // it is to end
		}
	}
}
