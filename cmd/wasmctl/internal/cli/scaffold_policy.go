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
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
)

// scaffoldPolicyFlags are the flags of scaffold policy.
type scaffoldPolicyFlags struct{ language, name string }

func (c *command) scaffoldPolicy() *cobra.Command {
	f := &scaffoldPolicyFlags{}
	cmd := &cobra.Command{
		Use:   "policy DIRECTORY",
		Short: "Write a policy to start from",
		Long: `Writes a policy that denies Pods without a label into a new or empty directory: source
code, metadata, cases for test, and a Makefile that builds and tests it.

In Go, it contains the SDK in the directory sdk, so that the build fetches nothing. In
Rust, it uses Kubewarden's crate kubewarden-policy-sdk, and in Rego the compiler opa.`,
		Example: `  wasmctl scaffold policy --language go owner-required
  make -C owner-required test`,
		Args: oneArgument("DIRECTORY", "the directory to write"),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if !slices.Contains(scaffolding.Languages, f.language) {
				return usagef("--language: there is no %q: write one of %s", f.language,
					strings.Join(scaffolding.Languages, ", "))
			}
			return c.writePolicy(f, arguments[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.language, "language", "",
		"`language`: "+strings.Join(scaffolding.Languages, ", ")+" (required)")
	flags.StringVar(&f.name, "name", "",
		"`name` of the policy, with the characters a-z, 0-9 and - (default that of the directory)")
	complete(cmd, "language", scaffolding.Languages...)
	return cmd
}

func (c *command) writePolicy(f *scaffoldPolicyFlags, directory string) error {
	absolute, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	written, err := scaffolding.WritePolicy(directory, cmp.Or(f.name, filepath.Base(absolute)),
		f.language)
	if err != nil {
		return err
	}
	for _, file := range written {
		fmt.Fprintln(c.Out, filepath.Join(directory, file))
	}
	fmt.Fprintf(c.Err, "Build and test it with: make -C %s test\n", directory)
	return nil
}
