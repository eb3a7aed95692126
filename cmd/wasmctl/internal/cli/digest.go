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
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// digestFlags are the flags of digest.
type digestFlags struct{ registryFlags }

func (c *command) digest() *cobra.Command {
	f := &digestFlags{}
	cmd := &cobra.Command{
		Use:   "digest POLICY",
		Short: "Print a policy's reference with its digest",
		Long: `Asks a registry for the manifest of a tag, and prints the reference with the
manifest's digest. The digest is computed from the manifest, not taken from the
registry's answer.

For a file, it prints the digest of the module, as in the field digest of a policy in
a configuration.`,
		Example: `  wasmctl digest registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl digest policy.wasm`,
		Args: oneArgument("POLICY", "the URI of a policy in a registry, or the path of a module"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.printDigest(cmd.Context(), f, arguments[0])
		},
	}
	f.add(cmd.Flags())
	f.addModuleSize(cmd.Flags())
	return cmd
}

func (c *command) printDigest(ctx context.Context, f *digestFlags, argument string) (err error) {
	options, err := f.options()
	if err != nil {
		return err
	}
	fetcher := sources.NewFetcher(options)
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	if _, err := os.Stat(argument); err == nil || strings.HasPrefix(argument, "file://") ||
		isPath(argument) {
		return c.printFileDigest(ctx, fetcher, argument)
	}
	remote, err := fetcher.Remote(c.quietly(ctx))
	if err != nil {
		return err
	}
	done := c.Progress("Asking for " + module.Redact(argument))
	digest, err := remote.ManifestDigest(c.quietly(ctx), registryURI(argument))
	done()
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(argument, "@")
	_, err = fmt.Fprintf(c.Out, "%s@%s\n", name, digest)
	return err
}

func (c *command) printFileDigest(ctx context.Context, fetcher *sources.Fetcher,
	argument string) error {
	uri, err := sources.URI(argument)
	if err != nil {
		return err
	}
	m, err := fetcher.Get(c.quietly(ctx), module.Request{URI: uri})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s@%s\n", uri, m.Digest)
	return err
}
