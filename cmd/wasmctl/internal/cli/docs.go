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
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/markdown"
)

func (c *command) docs() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:     "docs",
		Short:   "Write the documentation of all commands",
		Long:    `Writes the help of all commands to a file, in Markdown.`,
		Example: `  wasmctl docs -o wasmctl.md`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case output == "":
				return usagef("--output is required: name a file to write, such as %s.md", c.name)
			case slices.Contains([]string{".adoc", ".asciidoc"}, filepath.Ext(output)):
				return usagef(
					"--output: AsciiDoc is not supported: name a file such as %s.md, for Markdown",
					c.name)
			}
			root := cmd.Root()
			var b strings.Builder
			fmt.Fprintf(&b, "# Command-Line Help for `%s`\n\n%s\n", c.name, root.Long)
			markdown.Commands(&b, root)
			return writeWhole(output, func(w io.Writer) error {
				_, err := io.WriteString(w, b.String())
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "output `file` (required)")
	return cmd
}

// completions is kwctl's name for completion.
func (c *command) completions() *cobra.Command {
	shells := []string{"bash", "fish", "powershell", "zsh"}
	shell := ""
	cmd := &cobra.Command{
		Use:    "completions",
		Short:  "Write the completion of a shell",
		Args:   cobra.NoArgs,
		Hidden: c.name != kwctl,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch root := cmd.Root(); shell {
			case "bash":
				return root.GenBashCompletionV2(cmd.OutOrStdout(), true)
			case "zsh":
				return root.GenZshCompletion(cmd.OutOrStdout())
			case "fish":
				return root.GenFishCompletion(cmd.OutOrStdout(), true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(cmd.OutOrStdout())
			}
			return usagef("--shell: there is no completion for %q: write one of %s", shell,
				strings.Join(shells, ", "))
		},
	}
	cmd.Flags().StringVarP(&shell, "shell", "s", "", "`shell`: "+strings.Join(shells, ", ")+
		" (required)")
	complete(cmd, "shell", shells...)
	return cmd
}
