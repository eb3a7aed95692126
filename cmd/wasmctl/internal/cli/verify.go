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

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	registryFlags
	verificationFlags
}

func (c *command) verify() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify POLICY",
		Short: "Verify the signatures of a policy",
		Long: `Verifies the signatures of a policy as a server does. It exits with 1 if signatures
are missing that the flags or a verification config require. The message names the
policy, its digest, the requirement, and the signatures that were found.

For a policy in a registry, it looks for both formats of cosign: an image of
signatures (version 2 and older), and bundles that refer to the policy. For a file or
a URL, it looks for a bundle beside it: NAME.wasm.sigstore.json for NAME.wasm, as
cosign sign-blob --bundle writes it. The policy is fetched, and must be what was
signed.

Signatures by keys need no log and no trust root. For signatures by identities, the
trust root of the public Sigstore is fetched once a day. Without a network, a copy in
the program is used. Content of a store is not trusted.`,
		Example: `  wasmctl verify -k cosign.pub -a env=prod registry.example.com/policies/policy:v1.0.0
  wasmctl verify --github-owner kubewarden --github-repo policies \
    registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl verify --verification-config-path verification-config.yml policy.wasm`,
		Args: oneArgument("POLICY", "the URI of a policy, or the path of a module"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.verifyPolicy(cmd.Context(), f, arguments[0])
		},
	}
	f.registryFlags.add(cmd.Flags())
	f.addModuleSize(cmd.Flags())
	f.verificationFlags.add(cmd.Flags())
	return cmd
}

func (c *command) verifyPolicy(ctx context.Context, f *verifyFlags, argument string) (err error) {
	options, err := f.options()
	if err != nil {
		return err
	}
	uri, err := sources.URI(argument)
	switch {
	case policystore.IsDigestBeginning(argument):
		if err != nil {
			return err
		}
		if options.Policies, err = policystore.Default(); err != nil {
			return err
		}
	case err != nil && isPath(argument):
		return err
	case err != nil: // no file
		uri = registryURI(argument)
	}
	if options.Verifier, err = c.fetchVerifier(ctx, &f.verificationFlags); err != nil {
		return err
	}
	if options.Verifier == nil {
		return c.badFlags(
			"could not retrieve sigstore options: say who must have signed, with --verification-key, --cert-email and --cert-oidc-issuer, --github-owner or --verification-config-path")
	}
	options.Progress = c.Transferred
	fetcher := sources.NewFetcher(options)
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	defer c.Progress("Verifying " + module.Redact(uri))()
	_, err = fetcher.Get(c.quietly(ctx), module.Request{URI: uri})
	return err
}
