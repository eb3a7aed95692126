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
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/bundling"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
)

// bundleFlags are the flags of bundle.
type bundleFlags struct {
	registryFlags
	output, verify, policyDirectory, trustConfig string
}

func (c *command) bundle() *cobra.Command {
	f := &bundleFlags{}
	cmd := &cobra.Command{
		Use:   "bundle [CONFIGURATION] [URI...]",
		Short: "Bundle policies and their signatures for use without a network",
		Long: `Collects the modules of policies into an OCI image layout: those of a server's
configuration, of the manifests in its policy directory, and of URIs. They come from
registries and web servers, with their signatures in all formats, and with the trust
root that the configuration names. A server whose configuration has sources.layout
takes all modules from there. Modules in files are not included.

The signatures that the configuration's verification requires are required here, too.
The same modules make the same bytes. The trust root is also written to a file beside
the bundle, for verification.trustRoot.file: a server does not take it from the layout
that it has to verify.

With --verify, nothing is written. Everything in a bundle is checked against its
digests. With a configuration or URIs, the bundle must have all of their modules, with
the signatures that the configuration requires. The trust root is that of
--sigstore-trust-config, or else the file that the configuration names, or else the
one in the bundle, which proves nothing if you do not trust the bundle. The exit code
is 1 if anything is wrong.

Flags set how registries are asked, as for pull. The configuration's sources do not
apply.`,
		Example: `  wasmctl bundle -o policies.tar /etc/kubernetes/admission.yaml
  wasmctl bundle -o policies.tar --policy-directory policies.d
  wasmctl bundle -o policies registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl bundle --verify policies.tar /etc/kubernetes/admission.yaml`,
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.bundlePolicies(cmd.Context(), f, arguments)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "",
		"`path` to write: a tar if it ends with .tar, or else a new directory")
	flags.StringVar(&f.verify, "verify", "", "verify the bundle at this `path` instead")
	flags.StringVar(&f.policyDirectory, "policy-directory", "",
		"`directory` of manifests to use instead of the configuration's")
	flags.StringVar(&f.trustConfig, "sigstore-trust-config", "",
		"`file` with a Sigstore trust root, a trusted_root.json or ClientTrustConfig (default that of the configuration)")
	f.add(flags)
	f.addModuleSize(flags)
	return cmd
}

func (c *command) bundlePolicies(ctx context.Context, f *bundleFlags, arguments []string) error {
	switch {
	case (f.output == "") == (f.verify == ""):
		return usagef(
			"write --output and a path to write to, such as policies.tar, or --verify and the path of a bundle")
	case f.output != "" && len(arguments) == 0 && f.policyDirectory == "":
		return usagef("name a configuration, --policy-directory, or the URIs of policies")
	}
	wanted, err := f.wanted(arguments)
	if err != nil {
		return err
	}
	if f.verify != "" {
		return c.verifyBundle(c.quietly(ctx), f, wanted, len(arguments) > 0 ||
			f.policyDirectory != "")
	}
	if wanted.Root, err = c.configuredRoot(ctx, f, wanted); err != nil {
		return err
	}
	return c.writeBundle(c.quietly(ctx), f, wanted)
}

// wanted returns the modules that the arguments select.
func (f *bundleFlags) wanted(arguments []string) (*bundling.Wanted, error) {
	wanted, path := &bundling.Wanted{}, ""
	for _, argument := range arguments {
		switch {
		case strings.Contains(argument, "://"):
			wanted.URIs = append(wanted.URIs, argument)
		case path != "":
			return nil, usagef(
				"only one CONFIGURATION is allowed, but there is also %q; URIs have a scheme, such as registry://",
				argument)
		default:
			path = argument
		}
	}
	var data []byte
	if path != "" {
		file, err := linting.ReadConfiguration(path)
		if err != nil {
			return nil, err
		}
		path, data = file.Path, file.Data
	}
	config, err := assembly.Decode(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	if f.policyDirectory != "" {
		if config.PolicyDirectory, err = filepath.Abs(f.policyDirectory); err != nil {
			return nil, err
		}
	}
	limits, err := f.limits()
	if err != nil {
		return nil, err
	}
	if path == "" {
		config.Limits.ModuleSize = limits.ModuleSize
	}
	if config.Sources.Layout == "" {
		// a server with this bundle needs no directory for modules
		config.Sources.Layout = "/bundle"
	}
	wanted.Config = config
	if err := wanted.Validate(); err != nil {
		return nil, inFile(cmp.Or(path, "bundle"), err)
	}
	config.Sources.Layout = ""
	return wanted, nil
}

// configuredRoot returns the trust root from the flag or the configuration, or nil if there is
// none.
func (c *command) configuredRoot(ctx context.Context, f *bundleFlags,
	wanted *bundling.Wanted) (*sigstore.Root, error) {
	if f.trustConfig != "" {
		return readTrustRoot(f.trustConfig)
	}
	return c.rootOf(ctx, wanted.Config.Verification)
}

// rootOf returns the trust root that a configuration names, nil if it names none.
func (c *command) rootOf(ctx context.Context,
	verification *wasmadmission.Verification) (*sigstore.Root, error) {
	switch {
	case verification == nil:
		return nil, nil
	case verification.TrustRoot.File != "":
		path := verification.TrustRoot.File
		content, err := readUpTo(path, sigstore.MaxRootBytes)
		if err != nil {
			return nil, fmt.Errorf("verification.trustRoot: %w", err)
		}
		root, err := sigstore.ParseRoot(content, time.Now())
		if err != nil {
			return nil, fmt.Errorf("verification.trustRoot: %s: %w", path, err)
		}
		return root, nil
	case verification.TrustRoot.PublicGood:
		public, err := c.refreshedPublicGood(ctx)
		if err != nil {
			return nil, err
		}
		return public.Current(), nil
	}
	return nil, nil
}

// writeBundle collects everything into a directory beside the output. The directory then becomes
// the output, or is written into a tar file.
func (c *command) writeBundle(ctx context.Context, f *bundleFlags,
	wanted *bundling.Wanted) (err error) {
	options, err := f.options()
	if err != nil {
		return err
	}
	asking := sources.NewFetcher(options)
	defer func() { err = errors.Join(err, asking.Close()) }()
	how, err := asking.Sources(ctx)
	if err != nil {
		return err
	}
	isTar := strings.HasSuffix(f.output, ".tar")
	if _, err := os.Lstat(f.output); err == nil && !isTar {
		return fmt.Errorf("%s already exists: name a new directory, or a file that ends with .tar",
			f.output)
	}
	directory, err := os.MkdirTemp(filepath.Dir(f.output), filepath.Base(f.output)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	done := c.Progress("Bundling policies")
	collected, err := bundling.Collect(ctx, wanted, directory, func(o *module.Options) {
		o.Sources = how
	})
	if err == nil && isTar {
		err = writeWhole(f.output, func(w io.Writer) error { return layout.WriteTar(w, directory) })
	}
	if err == nil && !isTar {
		err = errors.Join(os.Chmod(directory, 0o755), os.Rename(directory, f.output))
	}
	done()
	if err != nil {
		return err
	}
	c.listBundled(collected.Modules, collected.Local)
	if wanted.Root == nil {
		return nil
	}
	beside := strings.TrimSuffix(f.output, ".tar") + "." + bundling.RootFile
	if err := writeWhole(beside, func(w io.Writer) error {
		_, err := w.Write(wanted.Root.JSON())
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "The trust root %s is also in %s, for verification.trustRoot.file\n",
		wanted.Root.Digest(), terminal.Plain(beside))
	return nil
}

func (c *command) listBundled(modules []bundling.Module, local []string) {
	for _, m := range modules {
		fmt.Fprintf(c.Out, "%s %s, signatures: %d\n", terminal.Plain(module.Redact(m.URI)),
			m.Digest, m.Signatures)
	}
	for _, uri := range local {
		fmt.Fprintf(c.Out, "%s is not in the bundle: a server reads it from its place\n",
			terminal.Plain(uri))
	}
}

// verifyBundle checks whether a bundle is intact, properly signed and complete.
func (c *command) verifyBundle(ctx context.Context, f *bundleFlags, wanted *bundling.Wanted,
	named bool) error {
	path, err := filepath.Abs(f.verify)
	if err != nil {
		return err
	}
	whose := "the configuration's"
	if f.trustConfig != "" {
		whose = "the given"
	}
	if f.trustConfig == "" &&
		(wanted.Config.Verification == nil || wanted.Config.Verification.TrustRoot.File == "") {
		whose = "the bundle's own"
		wanted.Root, err = bundling.ReadRoot(ctx, path)
	} else {
		wanted.Root, err = c.configuredRoot(ctx, f, wanted)
	}
	if err != nil {
		return err
	}
	demands := wanted.Config.Verification != nil
	if !named {
		wanted.Config = nil
	}
	defer c.Progress("Verifying " + f.verify)()
	checked, err := bundling.Verify(ctx, path, wanted)
	if err != nil {
		return err
	}
	for _, problem := range checked.Problems {
		fmt.Fprintf(c.Err, "%s %s\n", c.Paint(terminal.Red, "problem:"),
			terminal.Plain(problem.Error()))
	}
	c.listBundled(checked.Modules, checked.Local)
	fmt.Fprintf(c.Out, "%d manifests and %d other blobs have their digests\n", checked.Manifests,
		checked.Blobs)
	switch {
	case !named:
		fmt.Fprintln(c.Out,
			"Signatures were not verified: name a configuration whose verification demands signatures")
	case !demands:
		fmt.Fprintln(c.Out,
			"Signatures were not verified: the configuration does not demand any for all policies")
	case wanted.Root != nil:
		fmt.Fprintf(c.Out, "Certificates are verified by %s trust root, %s\n", whose,
			wanted.Root.Digest())
	}
	if len(checked.Problems) > 0 {
		return errSaid
	}
	return nil
}
