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
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/internal/buildinfo"
)

func (c *command) info() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Show the version and the directories in use",
		Long: `Shows the version and the directories in use: the store of policies and the
configuration, which are kwctl's, and the cache of modules and compiled code.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := policystore.Default()
			if err != nil {
				return err
			}
			config, err := policystore.ConfigDirectory()
			if err != nil {
				return err
			}
			return columns(c.Out, func(w io.Writer) {
				fmt.Fprintf(w, "%s version:\t%s\n", c.name, buildinfo.String())
				fmt.Fprintf(w, "Policy store:\t%s\n", store.Root())
				fmt.Fprintf(w, "Config directory:\t%s\n", config)
				fmt.Fprintf(w, "Cache directory:\t%s\n", (&sourceFlags{}).directory(""))
			})
		},
	}
}
