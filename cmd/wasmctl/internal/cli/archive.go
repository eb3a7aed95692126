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
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
)

func (c *command) save() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "save POLICY...",
		Short: "Save policies from the store into an archive",
		Long: `Writes policies from the store into an archive, a gzipped tar, which load reads where
there is no network. POLICY is a URI, or the beginning of a digest. The archive does
not contain signatures: use bundle for that.`,
		Example: `  wasmctl save -o policies.tar.gz registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3`,
		Args: someArguments("POLICY",
			"the URIs of policies in the store, or the beginnings of their digests"),
		RunE: func(_ *cobra.Command, arguments []string) error {
			if output == "" {
				return usagef("--output is required: name a file to write, such as policies.tar.gz")
			}
			return c.savePolicies(output, arguments)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "output `file` (required)")
	return cmd
}

func (c *command) savePolicies(output string, arguments []string) error {
	store, err := policystore.Default()
	if err != nil {
		return err
	}
	var uris []string
	for _, argument := range arguments {
		uri, err := storedPolicy(store, argument)
		if err != nil {
			return err
		}
		uris = append(uris, uri)
	}
	defer c.Progress("Saving " + output)()
	return writeWhole(output, func(w io.Writer) error { return store.Save(w, uris) })
}

// writeWhole writes a file atomically. If anything fails, the file stays as it was.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	// The new file replaces an existing one, which must not be a device, or a link to one.
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: name one", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // it is incomplete
	}
	return err
}

// loadFlags are the flags of load.
type loadFlags struct {
	limitFlags
	input string
}

func (c *command) load() *cobra.Command {
	f := &loadFlags{}
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Load policies from an archive into the store",
		Long: `Puts the policies of an archive that save or kwctl wrote into the store. They replace
those that are there. An archive with anything else in it is refused before anything
is stored. The store trusts the archive: nothing in it proves that a policy is what
its name says.`,
		Example: `  wasmctl load --input policies.tar.gz`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if f.input == "" {
				return usagef("--input is required: name an archive from save")
			}
			return c.loadPolicies(f)
		},
	}
	cmd.Flags().StringVar(&f.input, "input", "", "`file` with the archive (required)")
	f.addModuleSize(cmd.Flags())
	return cmd
}

func (c *command) loadPolicies(f *loadFlags) error {
	limits, err := f.limits()
	if err != nil {
		return err
	}
	store, err := policystore.Default()
	if err != nil {
		return err
	}
	defer c.Progress("Loading " + f.input)()
	_, err = store.Load(f.input, limits.ModuleSize)
	return err
}
