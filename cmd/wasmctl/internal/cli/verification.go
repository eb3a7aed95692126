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

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// verificationConfigFile is the name of kwctl's verification config, which counts if there are no
// flags.
const verificationConfigFile = "verification-config.yml"

// verificationFlags select the required signatures of modules. All of them are lists, so that a
// forbidden repetition can be detected.
type verificationFlags struct {
	keys, annotations                       []string
	email, issuer, owner, repo              []string
	verificationConfig, sigstoreTrustConfig []string
}

func (f *verificationFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.keys, "verification-key", "k", nil,
		"`file` with a public key that must have signed the policy; if repeated, all keys must have")
	flags.StringArrayVarP(&f.annotations, "verification-annotation", "a", nil,
		"annotation, as `key=value`, that each required signature must contain; may be repeated")
	flags.StringArrayVar(&f.email, "cert-email", nil,
		"email `address` or other subject of the signer's certificate; requires --cert-oidc-issuer")
	flags.StringArrayVar(&f.issuer, "cert-oidc-issuer", nil,
		"`URL` of the OIDC issuer for --cert-email")
	flags.StringArrayVar(&f.owner, "github-owner", nil,
		"GitHub `account` whose workflow must have signed")
	flags.StringArrayVar(&f.repo, "github-repo", nil,
		"`repository` of --github-owner, without the owner, whose workflow must have signed")
	flags.StringArrayVar(&f.verificationConfig, "verification-config-path", nil,
		"`file` with a Kubewarden verification config, instead of the flags above (default "+
			verificationConfigFile+" in kwctl's directory, if there is one)")
	flags.StringArrayVar(&f.sigstoreTrustConfig, "sigstore-trust-config", nil,
		"`file` with a Sigstore trust root, a trusted_root.json or ClientTrustConfig (default that of the public Sigstore)")
}

// Kubewarden's users know these texts.
const (
	onlyAnnotations = "Intending to verify annotations, but no verification keys, OIDC issuer or GitHub owner were passed"
	onlyRepository  = "Intending to verify GitHub actions signature, but the repository owner is missing."
	halfIdentity    = "Intending to verify OIDC issuer, but no email or issuer were provided. You must pass the email and OIDC issuer to be validated together"
	flagsAndConfig  = "verification-config-path cannot be used in conjunction with other verification flags"
)

// badFlags is an error about verification flags. kwctl exits with the same code as for any other
// error.
func (c *command) badFlags(format string, arguments ...any) error {
	if c.name == kwctl {
		return fmt.Errorf(format, arguments...)
	}
	return usagef(format, arguments...)
}

// demanded holds the demands of the flags on modules.
type demanded struct {
	*verification.Config
	// name is the name of the config in errors.
	name string
}

// demands returns the demands on modules, or nil if there are none.
func (c *command) demands(f *verificationFlags) (*demanded, error) {
	for _, once := range []struct {
		name   string
		values []string
	}{
		{"cert-email", f.email}, {"cert-oidc-issuer", f.issuer}, {"github-owner", f.owner},
		{"github-repo", f.repo},
		{"verification-config-path", f.verificationConfig},
		{"sigstore-trust-config", f.sigstoreTrustConfig},
	} {
		if len(once.values) > 1 {
			return nil, usagef("--%s: occurs %d times: write it once", once.name, len(once.values))
		}
	}
	identities := len(f.email) + len(f.issuer) + len(f.owner)
	switch {
	case len(f.keys)+len(f.annotations)+identities+len(f.repo) == 0:
		return c.configured(f)
	case len(f.annotations) > 0 && len(f.keys)+identities == 0:
		return nil, c.badFlags(onlyAnnotations)
	case len(f.repo) > 0 && len(f.owner) == 0:
		return nil, c.badFlags(onlyRepository)
	case len(f.email) != len(f.issuer):
		return nil, c.badFlags(halfIdentity)
	case len(f.verificationConfig) > 0:
		return nil, c.badFlags(flagsAndConfig)
	}
	return c.flagged(f)
}

// configured returns the demands of a verification config: the one from the flag, or the one that
// kwctl uses, if it exists.
func (c *command) configured(f *verificationFlags) (*demanded, error) {
	path := ""
	if len(f.verificationConfig) > 0 {
		path = f.verificationConfig[0]
	} else {
		directory, err := policystore.ConfigDirectory()
		if err != nil {
			return nil, nil //nolint:nilerr // without a directory there is no file in it
		}
		path = filepath.Join(directory, verificationConfigFile)
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		c.logger(slog.LevelInfo).Info("Default verification config present, using it", "path", path)
	}
	text, err := readUpTo(path, verification.MaxConfigBytes)
	if err != nil {
		return nil, err
	}
	config, err := verification.ParseConfig(text)
	if err != nil {
		return nil, inFile(path, err)
	}
	return &demanded{config, path}, nil
}

// flagged returns the demands of the flags. All of them must be met.
func (c *command) flagged(f *verificationFlags) (*demanded, error) {
	annotations := map[string]string{}
	for _, text := range f.annotations {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, c.badFlags(
				"--verification-annotation: %q is not an annotation: write key=value",
				text)
		}
		annotations[name] = value
	}
	var all []verification.Signature
	add := func(flag string, s verification.Signature) error {
		s.Annotations = annotations
		if _, err := verification.NewConfig(s); err != nil {
			return c.badFlags("--%s: %s", flag, strings.ReplaceAll(err.Error(), "allOf[0].", ""))
		}
		all = append(all, s)
		return nil
	}
	for n := range f.email {
		s := verification.Signature{
			Kind:    verification.KindGenericIssuer,
			Issuer:  f.issuer[n],
			Subject: &verification.Subject{Equal: f.email[n]},
		}
		if err := add("cert-email, --cert-oidc-issuer", s); err != nil {
			return nil, err
		}
	}
	for n := range f.owner {
		s := verification.Signature{Kind: verification.KindGitHubAction, Owner: f.owner[n]}
		if len(f.repo) > 0 {
			if s.Repo = f.repo[0]; s.Repo == "" {
				return nil, c.badFlags(
					"--github-repo: is empty: write a name, or leave the flag out if all repositories of the owner are meant")
			}
		}
		if err := add("github-owner", s); err != nil {
			return nil, err
		}
	}
	for _, path := range f.keys {
		key, err := readUpTo(path, maxKeyBytes)
		if err != nil {
			return nil, fmt.Errorf("--verification-key: could not read file: %w", err)
		}
		s := verification.Signature{Kind: verification.KindPublicKey, Key: string(key)}
		if err := add("verification-key: "+path, s); err != nil {
			return nil, err
		}
	}
	config, err := verification.NewConfig(all...)
	if err != nil {
		return nil, err
	}
	return &demanded{config, "the verification flags"}, nil
}

// maxKeyBytes bounds the file of a key.
const maxKeyBytes = 64 << 10

// verifier returns the verifier for modules, or nil if there are no demands. It may fetch the
// public Sigstore's trust root.
func (c *command) verifier(ctx context.Context, f *verificationFlags) (module.Verifier, error) {
	d, err := c.demands(f)
	if err != nil {
		return nil, err
	}
	if d == nil {
		// policies may ask about images, so an invalid file must fail now
		if len(f.sigstoreTrustConfig) > 0 {
			_, err = readTrustRoot(f.sigstoreTrustConfig[0])
		}
		return nil, err
	}
	checker, err := c.checker(ctx, f, d.Config)
	if err != nil {
		return nil, err
	}
	v, err := modules.New(modules.Options{
		Checker:  checker,
		Config:   d.Config,
		Required: true,
		Name:     d.name,
	})
	if err != nil {
		return nil, err
	}
	return &announced{v, c.logger(slog.LevelInfo), c.name == kwctl}, nil
}

// fetchVerifier is like verifier, for commands that run no policy. For them, a trust root alone has
// no effect, although it shows that the user wants modules to be verified.
func (c *command) fetchVerifier(ctx context.Context,
	f *verificationFlags) (module.Verifier, error) {
	v, err := c.verifier(ctx, f)
	if v == nil && err == nil && len(f.sigstoreTrustConfig) > 0 {
		return nil, c.badFlags(
			"--sigstore-trust-config: says who vouches for certificates, but nothing says who must have signed: add --cert-email and --cert-oidc-issuer, --github-owner or --verification-config-path, or remove the flag")
	}
	return v, err
}

// announced reports which modules were verified, as kwctl does.
type announced struct {
	module.Verifier
	logger klog.Logger
	// asKwctl adds kwctl's words to errors.
	asKwctl bool
}

// Verify implements [module.Verifier].
func (a *announced) Verify(ctx context.Context, artifact module.Artifact) ([]byte, error) {
	evidence, err := a.Verifier.Verify(ctx, artifact)
	switch {
	case err == nil:
		a.logger.Info("Policy successfully verified", "policy", module.Redact(artifact.URI),
			"digest", modules.Signed(artifact).Digest)
	case a.asKwctl && errors.As(err, new(*verification.UnmetError)):
		err = fmt.Errorf("Image verification failed: missing signatures: %w", err) //nolint:staticcheck // the text that Kubewarden's users know
	}
	return evidence, err
}
