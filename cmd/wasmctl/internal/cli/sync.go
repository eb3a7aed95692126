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
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/bundling"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/syncing"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Bounds of the interval: registries are shared, and a set that is a day old is no longer in sync.
const (
	leastSyncInterval = 10 * time.Second
	mostSyncInterval  = 24 * time.Hour
	// syncJitter is what is added to an interval at most, as a part of it, so that nodes do not ask
	// at the same moment.
	syncJitter = 0.2
)

// syncFlags are those of sync.
type syncFlags struct {
	once     bool
	interval time.Duration
}

func (c *command) sync() *cobra.Command {
	f := &syncFlags{}
	cmd := &cobra.Command{
		Use:   "sync CONFIGURATION URI",
		Short: "Keep a server's policy directory equal to a set of policies in a registry",
		Long: `Fetches a set of policies from a registry into the policy directory that a server's
configuration names, and does so again whenever the tag moves. push DIRECTORY pushes
such a set: manifests, which name modules in registries or in files.

CONFIGURATION is the server's own, on its machine. The set must have the signatures
that its verification requires, and registries are asked with the mirrors, authorities
and credentials of its sources. If it requires no signatures, URI must contain the
digest of the set.

The policy directory becomes a symbolic link to a version in a directory beside it,
whose name ends with .versions. The new version is verified, written, and read as the
server reads it. Then a rename replaces the link. Modules are not fetched: the server
does that. If anything fails, the directory stays as it is, and the command tries
again after the interval, plus up to a fifth of it at random. Files that somebody else
changed are restored. The previous version is kept.

The configuration and the files that it names are read again each time. After ten
failures in a row, the command ends with exit code 1.`,
		Example: `  wasmctl sync /etc/kubernetes/wasm-admission/config.yaml registry://registry.example.com/policies/set:prod
  wasmctl sync --once /etc/kubernetes/wasm-admission/config.yaml registry.example.com/policies/set:prod`,
		Args: twoArguments("CONFIGURATION",
			"the configuration of a server, such as /etc/kubernetes/wasm-admission/config.yaml",
			"URI", "where the set is, such as registry://registry.example.com/policies/set:prod"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.syncPolicies(cmd.Context(), f, arguments[0], registryURI(arguments[1]))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.once, "once", false, "exit after the first attempt, with 1 if it failed")
	flags.DurationVar(&f.interval, "interval", time.Minute,
		"`time` between attempts, from 10s to 24h")
	return cmd
}

func (c *command) syncPolicies(ctx context.Context, f *syncFlags, configuration, uri string) error {
	if f.interval < leastSyncInterval || f.interval > mostSyncInterval {
		return usagef("--interval: %s: write a time from %s to %s", f.interval, leastSyncInterval,
			mostSyncInterval)
	}
	attempt := func(ctx context.Context) (*syncing.Result, error) {
		return c.syncOnce(ctx, configuration, uri)
	}
	if f.once {
		result, err := attempt(c.quietly(ctx))
		if err == nil {
			c.tellSynced(uri, result)
		}
		return err
	}
	tell := func(result *syncing.Result, err error) {
		if err != nil {
			fmt.Fprintf(c.Err, "Error: %s\nThe policy directory stays as it is.\n",
				terminal.Plain(err.Error()))
		} else if result.Changed {
			c.tellSynced(uri, result)
		}
	}
	return syncing.Keep(c.quietly(ctx), attempt, tell, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait.Jitter(f.interval, syncJitter)):
			return nil
		}
	})
}

func (c *command) tellSynced(uri string, result *syncing.Result) {
	for _, warning := range result.Warnings {
		fmt.Fprintf(c.Err, "Warning: %s\n", terminal.Plain(warning))
	}
	what := "is what the policy directory has already"
	if result.Changed {
		what = "is in the policy directory"
	}
	fmt.Fprintf(c.Out, "%s %s: %s, manifests: %d\n", terminal.Plain(module.Redact(uri)), what,
		result.Digest, result.Files)
}

// syncOnce attempts once, by the configuration as it is now.
func (c *command) syncOnce(ctx context.Context, configuration,
	uri string) (*syncing.Result, error) {
	file, err := linting.ReadConfiguration(configuration)
	if err != nil {
		return nil, err
	}
	config, err := assembly.Decode(file.Data)
	if err != nil {
		return nil, inFile(file.Path, err)
	}
	if err := (&bundling.Wanted{Config: config}).Validate(); err != nil {
		return nil, inFile(file.Path, err)
	}
	wanted := &syncing.Wanted{Config: config, URI: uri}
	newChecker := func(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
		_ verification.RootOptions) (verification.Checker, error) {
		root, err := c.rootOf(ctx, config.Verification)
		if root == nil || err != nil {
			return sigstore.New(nil), err
		}
		return sigstore.New(func() *sigstore.Root { return root }), nil
	}
	var sources module.Sources
	_, err = assembly.NewFetcher(ctx, config, newChecker, func(options *module.Options) {
		sources = options.Sources
		// Without a demand on all there is none on the set, and the verifier would accept
		// everything.
		if config.Verification != nil && config.Verification.Required {
			wanted.Verifier = options.Verifier
		}
	})
	if err != nil {
		return nil, err
	}
	if wanted.Registries, err = module.NewRegistries(module.RegistriesOptions{
		Sources: sources,
	}); err != nil {
		return nil, err
	}
	return syncing.Sync(ctx, wanted)
}
