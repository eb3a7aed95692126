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

package assembly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// CheckerFactory creates a checker of signatures for the trust root that a validated configuration
// names, and keeps that root current until the context ends. The error says why the root cannot be
// used.
type CheckerFactory func(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	o verification.RootOptions) (verification.Checker, error)

// signatures verify the modules of a configuration. The verification config and the trust root may
// be in files that change. All methods except refresh are safe for concurrent use.
type signatures struct {
	demands *wasmadmission.Verification // nil: only policies have demands
	checker verification.Checker
	// changed receives a value if the trust root has changed, unless refresh changed it.
	changed chan struct{}
	current atomic.Pointer[modules.Verifier]
	hash    string // of the config that current verifies by
}

var _ module.Verifier = &signatures{}

// newSignatures returns the signatures of a configuration, or nil if it demands none. It returns an
// error if a part is missing. It never skips verification with only a warning.
func newSignatures(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	newChecker CheckerFactory, recorder verification.RootRecorder) (*signatures, error) {
	if !demandsSignatures(config) {
		return nil, nil
	}
	if newChecker == nil {
		return nil, errors.New(
			"verification: this program was built without the code that verifies signatures: " +
				"use one that has it, or remove verification from the configuration and its policies")
	}
	s := &signatures{demands: config.Verification, changed: make(chan struct{}, 1)}
	document, err := s.read()
	if err != nil {
		return nil, err
	}
	parsed, err := s.parse(document)
	if err != nil {
		return nil, err
	}
	s.checker, err = newChecker(ctx, config,
		verification.RootOptions{Changed: s.rootChanged, Recorder: recorder})
	if err != nil {
		return nil, fmt.Errorf("verification.trustRoot: %w", err)
	}
	return s, s.use(parsed, digest(document))
}

// verifier returns s, or nil if no signatures are demanded.
func (s *signatures) verifier() module.Verifier {
	if s == nil {
		return nil
	}
	return s
}

func (s *signatures) rootChanged() {
	select {
	case s.changed <- struct{}{}:
	default: // one value stands for any number of changes
	}
}

// Identity implements [module.Verifier].
func (s *signatures) Identity(demands string) string { return s.current.Load().Identity(demands) }

// Verify implements [module.Verifier].
func (s *signatures) Verify(ctx context.Context, a module.Artifact) ([]byte, error) {
	return s.current.Load().Verify(ctx, a)
}

// paths returns the files that refresh reads.
func (s *signatures) paths() (paths []string) {
	if s.demands == nil {
		return nil
	}
	for _, path := range []string{s.demands.File, s.demands.TrustRoot.File} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// refresh reads the files again and starts to use each one that is good. It returns a hash of their
// content, or "" if they cannot be read. The error has one line for each problem.
func (s *signatures) refresh() (hash string, err error) {
	root, rootErr := "", error(nil)
	if r, ok := s.checker.(verification.Refresher); ok {
		if root, rootErr = r.Refresh(); rootErr != nil {
			rootErr = fmt.Errorf("verification.trustRoot: %w", rootErr)
		}
	}
	document, err := s.read()
	if err != nil {
		return "", errors.Join(err, rootErr)
	}
	if config := digest(document); config != s.hash {
		parsed, parseErr := s.parse(document)
		if err = parseErr; err == nil {
			err = s.use(parsed, config)
		}
	}
	if rootErr != nil && root == "" {
		return "", errors.Join(err, rootErr)
	}
	return digest([]byte(digest(document) + root)), errors.Join(err, rootErr)
}

// use verifies modules by a config from now on. nil means no config.
func (s *signatures) use(config *verification.Config, hash string) error {
	verifier, err := modules.New(modules.Options{
		Checker:  s.checker,
		Config:   config,
		Required: s.demands != nil && s.demands.Required,
		Name:     s.field(),
	})
	if err != nil {
		return fmt.Errorf("verification: %w", err)
	}
	s.current.Store(verifier)
	s.hash = hash
	return nil
}

// digest is the SHA-256 in hexadecimal digits.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// verifiedSource is a source of policies that includes the files that say how to verify modules. A
// change of these files changes the source.
type verifiedSource struct {
	reload.Source
	signatures *signatures
}

// Paths implements [reload.Source].
func (v *verifiedSource) Paths() []string {
	return append(v.Source.Paths(), v.signatures.paths()...)
}

// Policies implements [reload.Source].
func (v *verifiedSource) Policies(ctx context.Context) (*reload.Desired, error) {
	hash, verificationErr := v.signatures.refresh()
	policies, err := v.Source.Policies(ctx)
	desired := reload.Desired{}
	if policies != nil {
		desired = *policies
	}
	if desired.Hash == "" || hash == "" {
		desired.Hash = ""
	} else {
		desired.Hash = digest([]byte(desired.Hash + hash))
	}
	if err = errors.Join(err, verificationErr); err != nil {
		return &reload.Desired{Hash: desired.Hash, Warnings: desired.Warnings}, err
	}
	return &desired, nil
}

// demandsSignatures reports whether the configuration demands signatures of any module.
func demandsSignatures(config *wasmadmission.WasmAdmissionConfiguration) bool {
	demanded := config.Verification != nil
	for n := range config.Policies {
		demanded = demanded || config.Policies[n].Verification != nil
	}
	for n := range config.PolicyGroups {
		for m := range config.PolicyGroups[n].Policies {
			demanded = demanded || config.PolicyGroups[n].Policies[m].Verification != nil
		}
	}
	return demanded
}

// read returns the verification config in the configuration, or in the file that it names. It is
// empty if there is none.
func (s *signatures) read() ([]byte, error) {
	if s.demands == nil {
		return nil, nil
	}
	if s.demands.File == "" {
		return s.demands.Config.Raw, nil
	}
	document, err := safefile.Read(s.demands.File, verification.MaxConfigBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fileField, err)
	}
	return document, nil
}

const fileField = "verification.file"

// field returns where in the configuration the verification config of all policies is.
func (s *signatures) field() string {
	if s.demands != nil && s.demands.File != "" {
		return fileField
	}
	return "verification.config"
}

// parse parses the config that read returned. It returns nil if there is none.
func (s *signatures) parse(document []byte) (*verification.Config, error) {
	field := s.field()
	switch {
	case field == fileField:
		field += ": " + s.demands.File
	case len(document) == 0:
		return nil, nil
	}
	config, err := verification.ParseConfig(document)
	if err != nil {
		var lines []error
		for line := range strings.SplitSeq(err.Error(), "\n") {
			lines = append(lines, fmt.Errorf("%s: %s", field, line))
		}
		return nil, errors.Join(lines...)
	}
	return config, nil
}
