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
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// scaffoldVAPFlags are the flags of scaffold vap.
type scaffoldVAPFlags struct{ policy, binding, module string }

func (c *command) scaffoldVAP() *cobra.Command {
	f := &scaffoldVAPFlags{}
	cmd := &cobra.Command{
		Use:   "vap",
		Short: "Convert a ValidatingAdmissionPolicy to a ClusterAdmissionPolicy",
		Long: `Writes a ClusterAdmissionPolicy with Kubewarden's CEL policy that decides as a
ValidatingAdmissionPolicy and its binding do. Both may be in the same file.

Variables, validations, parameters, match conditions, selectors, the failure policy
and the match policy are carried over. If the policy and its binding both restrict
something, both restrictions apply. If a field cannot be carried over and the new
policy would match more or fewer requests, that is an error that names the field.
Other fields cause a warning.`,
		Example: `  wasmctl scaffold vap --policy vap.yaml --binding vap-binding.yaml
  wasmctl scaffold vap -p vap.yaml -b vap.yaml --cel-policy ghcr.io/kubewarden/policies/cel-policy:v1.5.0`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, flag := range []struct{ name, path, what string }{
				{"policy", f.policy, "ValidatingAdmissionPolicy"},
				{"binding", f.binding, "ValidatingAdmissionPolicyBinding"},
			} {
				if flag.path == "" {
					return usagef("--%s is required: name a file with a %s", flag.name, flag.what)
				}
			}
			return c.convertVAP(f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.policy, "policy", "p", "",
		"`file` with the ValidatingAdmissionPolicy (required)")
	flags.StringVarP(&f.binding, "binding", "b", "",
		"`file` with the ValidatingAdmissionPolicyBinding (required)")
	flags.StringVar(&f.module, "cel-policy", "ghcr.io/kubewarden/policies/cel-policy:latest",
		"`URI` of Kubewarden's CEL policy")
	return cmd
}

func (c *command) convertVAP(f *scaffoldVAPFlags) error {
	policy, err := c.read(f.policy)
	if err != nil {
		return err
	}
	binding, err := c.read(f.binding)
	if err != nil {
		return err
	}
	converted, err := scaffolding.ReadCELPolicy(policy, binding)
	if err != nil {
		return err
	}
	text, warnings, err := converted.Manifest(f.module)
	if err != nil {
		return err
	}
	// These two messages are kwctl's.
	if reference, err := moduleuri.ParseReference(strings.TrimPrefix(f.module,
		"registry://")); err != nil {
		if !strings.Contains(f.module, "://") || strings.HasPrefix(f.module, "registry://") {
			warnings = append([]string{
				"The CEL policy module specified is not a valid OCI reference",
			}, warnings...)
		}
	} else if reference.Digest == "" && reference.Tag == "latest" {
		warnings = append([]string{
			"Using the 'latest' version of the CEL policy could lead to unexpected behavior. It is recommended to use a specific version to avoid breaking changes.",
		}, warnings...)
	}
	return c.writeScaffold(text, warnings)
}
