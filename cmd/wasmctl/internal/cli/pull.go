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
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// pullFlags are the flags of pull.
type pullFlags struct {
	registryFlags
	verificationFlags
	output string
}

func (c *command) pull() *cobra.Command {
	f := &pullFlags{}
	cmd := &cobra.Command{
		Use:   "pull URI",
		Short: "Fetch a policy into the store of policies",
		Long: `Fetches a policy from a registry or a web server and puts it into the store of
policies. run and other commands find it there without a network. The store is
kwctl's. A policy that is already there is not fetched again: remove it first, with
rm. The tag latest is always fetched.

A URI without a scheme is in a registry. The default tag is latest.

If flags or a verification config require signatures, nothing is written without
them. A policy that is already in the store is verified as well, with its source.`,
		Example: `  wasmctl pull registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl pull --github-owner kubewarden ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl pull -o policy.wasm https://example.com/policies/policy.wasm`,
		Args: oneArgument("URI",
			"where a policy is, such as registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.pullPolicy(cmd.Context(), f, arguments[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output-path", "o", "",
		"`file` to write instead, or a directory for the file")
	f.registryFlags.add(flags)
	f.addModuleSize(flags)
	f.verificationFlags.add(flags)
	return cmd
}

// registryURI returns the URI of an argument. Without a scheme, it names a registry.
func registryURI(argument string) string {
	if strings.Contains(argument, "://") {
		return argument
	}
	return "registry://" + argument
}

// isPath reports whether an argument can only be a path. No host begins with a dot or a slash, and
// a reference needs a host and a repository.
func isPath(argument string) bool {
	return strings.HasPrefix(argument, ".") || strings.HasPrefix(argument, "/") ||
		!strings.Contains(argument, "/")
}

func (c *command) pullPolicy(ctx context.Context, f *pullFlags, argument string) error {
	uri := registryURI(argument)
	if strings.HasPrefix(uri, "file://") {
		return usagef("pull fetches from registries and web servers: %s is already a file", uri)
	}
	output, store, err := destination(f, uri)
	if err != nil {
		return err
	}
	verifier, err := c.fetchVerifier(ctx, &f.verificationFlags)
	if err != nil {
		return err
	}
	if store != nil && verifier == nil && policystore.IsFixed(uri) {
		if _, err := store.Get(uri); !errors.As(err, new(*policystore.NotFoundError)) {
			return err
		}
	}
	m, err := c.fetchURI(ctx, f, store, verifier, uri)
	switch {
	case err != nil:
		return err
	case store == nil:
		return os.WriteFile(output, m.Bytes, 0o644)
	}
	return store.Put(uri, m.Bytes)
}

// destination returns where to write a policy: a file, or the store of policies.
func destination(f *pullFlags, uri string) (output string, store *policystore.Store, err error) {
	if f.output != "" {
		output, err = outputFile(f.output, uri)
		return output, nil, err
	}
	if _, err := policystore.Place(uri); err != nil {
		return "", nil, usagef(
			"%s: %w: correct it, or name a file with --output-path", module.Redact(uri), err)
	}
	store, err = policystore.Default()
	return "", store, err
}

// fetchURI fetches the current module from its source. A module named by a digest is kept beside
// the store of policies, because the store does not guarantee digests. The same goes for a verified
// module, which is kept with its evidence.
func (c *command) fetchURI(ctx context.Context, f *pullFlags, store *policystore.Store,
	verifier module.Verifier, uri string) (m *module.Module, err error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(uri, "registry://") && strings.Contains(uri, "@") || verifier != nil {
		options.StoreDirectory = (&sourceFlags{}).directory("modules")
	}
	if options.Verifier = verifier; verifier != nil {
		options.Policies = store
	}
	options.Progress = c.Transferred
	fetcher := sources.NewFetcher(options)
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	defer c.Progress("Pulling " + module.Redact(uri))()
	return fetcher.Get(c.quietly(ctx), module.Request{URI: uri})
}

// outputFile returns the file that --output-path names for a URI. In a directory, the file gets the
// last part of the URI as its name.
func outputFile(output, uri string) (string, error) {
	info, err := os.Stat(output)
	if isDirectory := err == nil && info.IsDir(); !isDirectory {
		return output, nil
	}
	place := uri
	if strings.HasPrefix(uri, "registry://") {
		if place, err = policystore.Place(uri); err != nil {
			return "", fmt.Errorf("%s: %w", module.Redact(uri), err)
		}
	} else if u, err := url.Parse(uri); err == nil {
		place = u.Path
	}
	name := path.Base(place)
	if strings.HasSuffix(place, "/") || !filepath.IsLocal(name) || name == "." {
		return "", usagef("--output-path: %s does not end with the name of a file: name one in %s",
			module.Redact(uri), output)
	}
	return filepath.Join(output, name), nil
}
