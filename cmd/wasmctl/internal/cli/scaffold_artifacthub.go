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
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/annotate"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
)

// The default files. The first one that exists counts.
var (
	metadataFiles  = []string{"metadata.yml", "metadata.yaml"}
	questionsFiles = []string{
		"questions-ui.yml", "questions-ui.yaml", "questions.yml", "questions.yaml",
	}
)

// artifactHubFlags are the flags of scaffold artifacthub.
type artifactHubFlags struct{ metadata, questions, version, output string }

func (c *command) scaffoldArtifactHub() *cobra.Command {
	f := &artifactHubFlags{}
	cmd := &cobra.Command{
		Use:   "artifacthub",
		Short: "Write a description for Artifact Hub",
		Long: `Writes an artifacthub-pkg.yml from the policy's metadata. https://artifacthub.io reads
it to list the policy.`,
		Example: `  wasmctl scaffold artifacthub -m metadata.yml -q questions-ui.yml -o artifacthub-pkg.yml`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.describeForHub(f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.metadata, "metadata-path", "m", "",
		"`file` with the policy's metadata, in YAML (default metadata.yml or metadata.yaml)")
	flags.StringVarP(&f.questions, "questions-path", "q", "",
		"`file` with the questions that a user interface asks, in YAML (default questions-ui.yml or questions.yml, if there is one)")
	flags.StringVarP(&f.version, "version", "v", "",
		"`version` of the policy, such as 1.2.3, if its metadata has none")
	flags.StringVarP(&f.output, "output", "o", "", "`file` to write (default standard output)")
	// kwctl has -v mean the version here, which it cannot beside the flag of all commands.
	flags.BoolVar(&c.verbose, "verbose", false, "log details to standard error")
	return cmd
}

func (c *command) describeForHub(f *artifactHubFlags) error {
	path := firstFile(f.metadata, metadataFiles)
	if path == "" {
		return usagef(
			"path to metadata file not provided, plus 'metadata.yml' not found: name a file with --metadata-path")
	}
	text, err := c.read(path)
	if err != nil {
		return err
	}
	metadata, err := annotate.ParseMetadata(text)
	if err != nil {
		return inFile(path, err)
	}
	for _, line := range metadata.NearMisses() {
		c.warn(path + ": " + line)
	}
	described := scaffolding.Package{
		Metadata:  &metadata.Metadata,
		Version:   f.version,
		CreatedAt: time.Now(),
		Command:   c.name,
	}
	if questions := firstFile(f.questions, questionsFiles); questions != "" {
		if described.Questions, err = c.read(questions); err != nil {
			return err
		}
	}
	if said := metadata.Annotations["io.kubewarden.policy.version"]; f.version != "" &&
		said != "" && said != f.version {
		c.warn(
			fmt.Sprintf(
				"--version is ignored: the metadata says that the version is %s, in io.kubewarden.policy.version",
				said))
	}
	hub, err := described.Describe()
	if err != nil {
		return inFile(path, err)
	}
	if f.output == "" {
		_, err = c.Out.Write(hub)
		return err
	}
	return writeWhole(f.output, func(w io.Writer) error {
		_, err := w.Write(hub)
		return err
	})
}

// firstFile returns the named path, or otherwise the first existing one of the others, or "".
func firstFile(named string, others []string) string {
	if named != "" {
		return named
	}
	for _, path := range others {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return path
		}
	}
	return ""
}
