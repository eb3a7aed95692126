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
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
)

// sampleVerificationConfig is the config that kwctl writes. PATH stands for the path where it is
// expected, and NAME for the command's name.
const sampleVerificationConfig = `# Kubewarden's verification config: which signatures a policy must have.
#
# As it stands, policies must be signed by the Kubewarden project.
#
# It counts for NAME run, pull, verify and the like if it is here:
#   NAME scaffold verification-config > "PATH"
# Elsewhere, --verification-config-path names it. The field verification.config of
# a server's configuration takes the same.
apiVersion: v1

# All of these must have signed.
allOf:
  - kind: githubAction # a workflow of GitHub Actions,
    owner: kubewarden # in a repository of this account,
    # repo: policies # in this one alone,
    # annotations: # and with all of these: cosign sign -a env=prod
    #   env: prod

# As many of these as minimumMatches says (default 1).
# anyOf:
#   minimumMatches: 1
#   signatures:
#     - kind: pubKey # a key: what cosign public-key prints
#       owner: the security team # a text for people
#       key: |
#         -----BEGIN PUBLIC KEY-----
#         ...
#         -----END PUBLIC KEY-----
#     - kind: genericIssuer # whoever an issuer of OIDC tokens vouches for
#       issuer: https://accounts.google.com
#       subject:
#         equal: ann@example.com
#     - kind: genericIssuer
#       issuer: https://gitlab.com
#       subject:
#         urlPrefix: https://gitlab.com/example/
`

func (c *command) scaffoldVerificationConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "verification-config",
		Short: "Write a verification config",
		Long: `Writes a Kubewarden verification config, which says whose signatures a policy must
have. It requires those of the Kubewarden project. Comments show the other options.`,
		Example: `  wasmctl scaffold verification-config >verification-config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			directory, err := policystore.ConfigDirectory()
			if err != nil {
				return err
			}
			path := filepath.Join(directory, verificationConfigFile)
			_, err = fmt.Fprint(c.Out,
				strings.NewReplacer("PATH", path, "NAME", c.name).Replace(sampleVerificationConfig))
			return err
		},
	}
}
