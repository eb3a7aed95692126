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

import "github.com/spf13/cobra"

// scaffold is the parent of the commands that write files to start with.
func (c *command) scaffold() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scaffold",
		Short: "Write files to start from",
		Long:  `Each command writes files to start from, to standard output or into a directory.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("scaffold: name what to write: %s", listed(namesOf(cmd.Commands())))
		},
	}
	cmd.AddCommand(c.scaffoldAdmissionRequest(), c.scaffoldArtifactHub(), c.scaffoldManifest(),
		c.scaffoldPolicy(), c.scaffoldVAP(), c.scaffoldVerificationConfig())
	return cmd
}

func namesOf(commands []*cobra.Command) (names []string) {
	for _, cmd := range commands {
		if cmd.IsAvailableCommand() {
			names = append(names, cmd.Name())
		}
	}
	return names
}
