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

// Package modules verifies policy modules for package module. Each module must have the signatures
// that the configuration demands of all modules, and those that its policy demands.
package modules

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
)

const (
	// BundleSuffix is the suffix that a signed file's name has in the name of its bundle.
	BundleSuffix = ".sigstore.json"
	// maxBundleBytes bounds a bundle. Typical bundles have about 10,000 bytes.
	maxBundleBytes = 1 << 20
)

// Options configure a [Verifier].
type Options struct {
	// Checker verifies signatures. It is required.
	Checker verification.Checker
	// Config is the default config. Nil demands nothing.
	Config *verification.Config
	// Required applies Config to all modules, and not only to those whose policies ask for it.
	Required bool
	// Name is the name of Config in errors. The default is "verification.config".
	Name string
}

// Verifier implements [module.Verifier]. It is safe for concurrent use.
type Verifier struct {
	options Options
	parsed  sync.Map // of *demands, by text
}

// New returns a verifier.
func New(options Options) (*Verifier, error) {
	switch {
	case options.Checker == nil:
		return nil, errors.New(
			"signatures must be verified, but this program was built without a signature checker")
	case options.Required && options.Config == nil:
		return nil, errors.New("signatures are required of all modules, but no config says whose")
	}
	options.Name = cmp.Or(options.Name, "verification.config")
	v := &Verifier{options: options}
	if options.Required && options.Config.Keyless() && options.Checker.TrustRoot() == "" {
		return nil, noTrustRoot(options.Name)
	}
	return v, nil
}

func noTrustRoot(name string) error {
	return fmt.Errorf(
		"%s demands signatures by identities: %w to verify certificates by: set verification.trustRoot, or demand keys only",
		name, verification.ErrNoTrustRoot)
}

// Demands are the demands of one policy. They only add to the general demands.
type Demands struct {
	// Required demands the default config.
	Required bool `json:"required,omitempty"`
	// Config is an additional config in JSON. Nil demands nothing more.
	Config json.RawMessage `json:"config,omitempty"`
}

// Text returns the demands in the form of a [module.Request].
func (d Demands) Text() string {
	if len(d.Config) == 0 {
		if !d.Required {
			return ""
		}
		d.Config = nil
	}
	text, err := json.Marshal(d)
	if err != nil { // neither the config nor this text is valid JSON, so it is refused
		return string(d.Config)
	}
	return string(text)
}

// demands are all demands on a module.
type demands struct {
	all     []verification.Demand
	keyless bool
	err     error
}

// demandsOf returns the demands on a module, given the text of its policy's demands.
func (v *Verifier) demandsOf(text string) *demands {
	if known, ok := v.parsed.Load(text); ok {
		return known.(*demands) //nolint:forcetypeassert // nothing else is stored
	}
	d := v.parse(text)
	v.parsed.Store(text, d)
	return d
}

func (v *Verifier) parse(text string) *demands {
	var own Demands
	if text != "" {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return &demands{err: fmt.Errorf("the policy's demands cannot be read: %w", err)}
		}
	}
	d := &demands{}
	if v.options.Required || own.Required {
		if v.options.Config == nil {
			return &demands{
				err: errors.New(
					"the policy requires verification, and neither verification.config nor verification.file is set"),
			}
		}
		d.all = append(d.all, verification.Demand{Name: v.options.Name, Config: v.options.Config})
	}
	if len(own.Config) > 0 {
		config, err := verification.ParseConfig(own.Config)
		if err != nil {
			return &demands{err: fmt.Errorf("the policy's verification.config: %w", err)}
		}
		d.all = append(d.all,
			verification.Demand{Name: "the policy's verification.config", Config: config})
	}
	for _, demand := range d.all {
		d.keyless = d.keyless || demand.Config.Keyless()
	}
	return d
}

// Identity implements [module.Verifier]. It changes with the demands, and with the trust root if
// they include identities.
func (v *Verifier) Identity(text string) string {
	d := v.demandsOf(text)
	sum := sha256.New()
	fmt.Fprintf(sum, "%v %s", d.err, verification.Digest(d.all...))
	if d.keyless {
		fmt.Fprintf(sum, " %s", v.options.Checker.TrustRoot())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Verify implements [module.Verifier]. The evidence holds the checked candidates. Those that meet
// no demand are kept up to a bound.
func (v *Verifier) Verify(ctx context.Context, a module.Artifact) ([]byte, error) {
	d := v.demandsOf(a.Demands)
	if d.err != nil {
		return nil, d.err
	}
	if d.keyless && v.options.Checker.TrustRoot() == "" {
		return nil, noTrustRoot(d.all[len(d.all)-1].Name)
	}
	candidates, err := Candidates(ctx, a)
	if err != nil {
		return nil, err
	}
	var looked evidence
	artifact := Signed(a)
	if len(d.all) > 0 {
		metBy, err := verification.MetBy(ctx, v.options.Checker, artifact,
			looked.record(candidates), d.all...)
		if err != nil {
			return nil, explain(a, artifact.Digest, err)
		}
		looked.bound(metBy)
	}
	return json.Marshal(looked)
}

// Signed returns the artifact that signatures cover: the manifest for a module from a registry, and
// otherwise the module itself.
func Signed(a module.Artifact) verification.Artifact {
	if a.Repository == "" {
		return verification.Artifact{Digest: a.Digest, IsFile: true, Content: a.Bytes}
	}
	return verification.Artifact{Digest: a.Manifest.Digest.String()}
}

// Candidates finds candidates in the usual place for such an artifact. The sequence is like that of
// [discovery.Find].
func Candidates(ctx context.Context,
	a module.Artifact) (iter.Seq2[*verification.Candidate, error], error) {
	switch {
	case a.Evidence != nil:
		var kept evidence
		if err := json.Unmarshal(a.Evidence, &kept); err != nil {
			return nil, fmt.Errorf("its saved signatures cannot be read: %w", err)
		}
		return kept.candidates(), nil
	case a.Source != nil:
		return discovery.Find(ctx, a.Source, a.Manifest), nil
	}
	return beside(ctx, a), nil
}

// beside finds the bundle of a file.
func beside(ctx context.Context, a module.Artifact) iter.Seq2[*verification.Candidate, error] {
	return func(yield func(*verification.Candidate, error) bool) {
		if a.Beside == nil {
			return
		}
		bundle, err := a.Beside(ctx, BundleSuffix, maxBundleBytes)
		switch {
		case errors.Is(err, errdef.ErrNotFound):
		case err != nil:
			yield(nil, fmt.Errorf("%s: %w", nameOfBundle(a), err))
		default:
			yield(&verification.Candidate{Place: nameOfBundle(a), Bundle: bundle}, nil)
		}
	}
}
