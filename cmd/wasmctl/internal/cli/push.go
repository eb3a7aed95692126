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
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/annotate"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/syncing"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// pushFlags are the flags of push.
type pushFlags struct {
	registryFlags
	outputFlag
	force bool
}

func (c *command) push() *cobra.Command {
	f := &pushFlags{}
	cmd := &cobra.Command{
		Use:   "push POLICY URI",
		Short: "Push a policy to a registry, or a set of policies",
		Long: `Pushes a policy to a registry and prints its immutable reference, which has the
digest of its manifest.

POLICY is the path of a module, the URI of one in the store of policies, or the
beginning of the digest of one there. URI is in a registry. The default tag is latest.

POLICY may also be a directory. Then its manifests, the files whose names end with
.yaml, .yml or .json, are pushed as a set, which sync brings to servers. Use lint
--policy-directory to check whether a server would accept them.

The annotations in the policy's metadata become those of the manifest, except for
annotations with several lines. The policy's source also becomes
org.opencontainers.image.source, unless that is set.`,
		Example: `  wasmctl push annotated-policy.wasm registry://registry.example.com/policies/policy:v1.0.0
  wasmctl push -o json annotated-policy.wasm registry.example.com/policies/policy:v1.0.0
  wasmctl push policies.d registry.example.com/policies/set:prod`,
		Args: twoArguments("POLICY",
			"the path of a module or of a directory of manifests, or one of the store of policies",
			"URI", "where it goes, such as registry://registry.example.com/policies/policy:v1.0.0"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.pushPolicy(cmd.Context(), f, arguments[0], arguments[1])
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.force, "force", "f", false, "push a policy even without metadata")
	f.outputFlag.add(flags, "text", "json")
	f.registryFlags.add(flags)
	f.addModuleSize(flags)
	f.completeFormats(cmd)
	return cmd
}

func (c *command) pushPolicy(ctx context.Context, f *pushFlags, policy, uri string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	options, err := f.options()
	if err != nil {
		return err
	}
	options.Progress = c.Transferred
	fetcher := sources.NewFetcher(options)
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	push := c.pushModule
	if syncing.IsDirectory(policy) {
		push = c.pushSet
	}
	reference, err := push(c.quietly(ctx), f, fetcher, policy, registryURI(uri))
	if err != nil {
		return err
	}
	if f.format == "json" {
		return json.NewEncoder(c.Out).Encode(map[string]string{"immutable_ref": reference})
	}
	_, err = fmt.Fprintf(c.Out, "Policy successfully pushed: %s\n", reference)
	return err
}

// pushModule pushes one policy.
func (c *command) pushModule(ctx context.Context, f *pushFlags, fetcher *sources.Fetcher, policy,
	uri string) (string, error) {
	content, err := localPolicy(ctx, fetcher, policy)
	if err != nil {
		return "", err
	}
	annotations, err := c.manifestAnnotations(f, content)
	if err != nil {
		return "", fmt.Errorf("%s: %w", module.Redact(policy), err)
	}
	remote, err := fetcher.Remote(ctx)
	if err != nil {
		return "", err
	}
	defer c.Progress("Pushing to " + module.Redact(uri))()
	return remote.Push(ctx, uri, content, annotations)
}

// pushSet pushes the manifests in a directory.
func (c *command) pushSet(ctx context.Context, _ *pushFlags, fetcher *sources.Fetcher, directory,
	uri string) (string, error) {
	asked, err := fetcher.Sources(ctx)
	if err != nil {
		return "", err
	}
	asked.Mirrors = nil // they get nothing
	registries, err := module.NewRegistries(module.RegistriesOptions{Sources: asked})
	if err != nil {
		return "", err
	}
	defer c.Progress("Pushing to " + module.Redact(uri))()
	return syncing.Push(ctx, registries, directory, uri)
}

// localPolicy reads a module from a file, or from the store of policies. Nobody is asked
// for it.
func localPolicy(ctx context.Context, fetcher *sources.Fetcher, argument string) ([]byte, error) {
	uri, err := sources.URI(argument)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(uri, "file://") {
		m, err := fetcher.Get(ctx, module.Request{URI: uri})
		if err != nil {
			return nil, err
		}
		return m.Bytes, nil
	}
	store, err := policystore.Default()
	if err != nil {
		return nil, err
	}
	content, err := store.Get(uri)
	if err != nil && !errors.As(err, new(*policystore.NotFoundError)) {
		err = fmt.Errorf("%s: %w", module.Redact(uri), err)
	}
	return content, err
}

// manifestAnnotations returns the annotations of the module for its manifest.
func (c *command) manifestAnnotations(f *pushFlags, binary []byte) (map[string]string, error) {
	decoded, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	annotated := slices.ContainsFunc(decoded.Custom, func(s wasm.CustomSection) bool {
		return s.Name == abi.MetadataSection
	})
	switch {
	case annotated:
		metadata, err := abi.ReadMetadata(binary)
		if err != nil {
			return nil, err
		}
		kept, dropped := annotate.ManifestAnnotations(metadata.Annotations)
		for _, name := range dropped {
			c.logger(slog.LevelError).Info("Annotation has several lines and is omitted",
				"annotation", name)
		}
		return kept, nil
	case !f.force:
		return nil, errors.New("Cannot push a policy that is not annotated. Use `annotate` command or `push --force`") //nolint:staticcheck // the text that Kubewarden's users know
	case host.IsRego(decoded):
		return nil, errors.New("Rego policies cannot be pushed without metadata: annotate it") //nolint:staticcheck // the text that Kubewarden's users know
	}
	fmt.Fprintln(c.Err, "Warning: pushing a non-annotated policy!")
	return nil, nil
}
