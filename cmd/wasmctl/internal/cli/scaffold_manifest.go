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
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// scaffoldManifestFlags are the flags of scaffold manifest.
type scaffoldManifestFlags struct {
	sourceFlags
	verificationFlags
	settings          settingsFlags
	kind, title       string
	namespace         string
	allowContextAware bool
}

func (c *command) scaffoldManifest() *cobra.Command {
	f := &scaffoldManifestFlags{}
	cmd := &cobra.Command{
		Use:   "manifest POLICY",
		Short: "Write the manifest of a policy",
		Long: `Writes a Kubewarden custom resource for a policy, with the rules and other fields that
its metadata suggests. It works in a policy directory and in a cluster.

POLICY is the path or URI of a module, or the beginning of the digest of a policy in the
store.`,
		Example: `  wasmctl scaffold manifest -t ClusterAdmissionPolicy registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl scaffold manifest -t AdmissionPolicy --title labels --settings-json '{"labels": {"team": "."}}' policy.wasm`,
		Args: oneArgument("POLICY", "the path or URI of a module"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			if !slices.Contains(scaffolding.Kinds, f.kind) {
				return usagef("--type: there is no %q of a policy: write one of %s", f.kind,
					strings.Join(scaffolding.Kinds, ", "))
			}
			if f.namespace != "" && f.kind != scaffolding.KindAdmissionPolicy {
				return usagef("--namespace: a %s is in none: remove the flag, or write --type %s",
					f.kind, scaffolding.KindAdmissionPolicy)
			}
			return c.writeManifest(cmd.Context(), f, arguments[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.kind, "type", "t", "",
		"`kind` of the resource: "+strings.Join(scaffolding.Kinds, ", ")+" (required)")
	flags.StringVar(&f.title, "title", "",
		"`name` of the policy (default the title in its metadata)")
	flags.StringVar(&f.namespace, "namespace", "",
		"`namespace` of an AdmissionPolicy (default: none, so kubectl's applies)")
	flags.BoolVar(&f.allowContextAware, "allow-context-aware", false,
		"let the policy read the kinds that its metadata names")
	f.settings.add(flags)
	f.sourceFlags.add(flags)
	f.verificationFlags.add(flags)
	complete(cmd, "type", scaffolding.Kinds...)
	return cmd
}

func (c *command) writeManifest(ctx context.Context, f *scaffoldManifestFlags,
	argument string) error {
	settings, err := c.settings(&f.settings)
	if err != nil {
		return err
	}
	uri, err := moduleURI(argument)
	if err != nil {
		return err
	}
	verifier, err := c.fetchVerifier(ctx, &f.verificationFlags)
	if err != nil {
		return err
	}
	fetched, err := c.fetch(ctx, &f.sourceFlags, verifier, uri)
	if err != nil {
		return err
	}
	metadata, err := abi.ReadMetadata(fetched.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", argument, err)
	}
	policy := scaffolding.Policy{
		Kind: f.kind, Module: uri, Metadata: metadata, Title: f.title, Namespace: f.namespace,
		Settings: settings, AllowContextAware: f.allowContextAware,
	}
	text, warnings, err := policy.Manifest()
	if err != nil {
		return fmt.Errorf("%s: %w", argument, err)
	}
	return c.writeScaffold(text, warnings)
}

// moduleURI returns the module's URI for a manifest. If the argument is the beginning of a digest
// in the store, this is the URI that the module was pulled from.
func moduleURI(argument string) (string, error) {
	uri, err := sources.URI(argument)
	if err != nil || !policystore.IsDigestBeginning(argument) {
		return uri, err
	}
	store, err := policystore.Default()
	if err != nil {
		return "", err
	}
	if stored, _, err := store.Find(argument); err == nil {
		return stored, nil
	}
	return uri, nil // a file with this name exists
}

// writeScaffold writes the result to the output, and the warnings to the standard error.
func (c *command) writeScaffold(text []byte, warnings []string) error {
	for _, warning := range warnings {
		c.warn(warning)
	}
	_, err := c.Out.Write(text)
	return err
}

func (c *command) warn(text string) {
	fmt.Fprintf(c.Err, "Warning: %s\n", terminal.Plain(text))
}
