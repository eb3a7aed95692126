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
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/annotate"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/evaluation"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/inspection"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// annotateFlags are the flags of annotate.
type annotateFlags struct {
	limitFlags
	metadata, output, usage string
}

func (c *command) annotate() *cobra.Command {
	f := &annotateFlags{}
	cmd := &cobra.Command{
		Use:   "annotate MODULE",
		Short: "Write metadata into a module",
		Long: `Copies a module and writes the metadata from a YAML file into the copy. For a waPC
guest, it also records the protocol version that the guest reports. It warns if the
module seems to call host capabilities that the metadata does not name, or the other
way round.`,
		Example: `  wasmctl annotate -m metadata.yml -o annotated-policy.wasm policy.wasm`,
		Args:    oneArgument("MODULE", "the path or URI of a module"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			if f.metadata == "" {
				return usagef("--metadata-path is required: name a file with the policy's metadata")
			}
			if f.output == "" {
				return usagef(
					"--output-path is required: name a file to write, which may be the module")
			}
			for _, input := range []struct {
				flag, path string
			}{{"metadata-path", f.metadata}, {"usage-path", f.usage}} {
				if sameFile(f.output, input.path) {
					return usagef("--output-path would overwrite the file of --%s: name another",
						input.flag)
				}
			}
			return c.annotateModule(cmd.Context(), f, arguments[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.metadata, "metadata-path", "m", "",
		"`file` with the metadata, in YAML (required)")
	flags.StringVarP(&f.output, "output-path", "o", "",
		"output `file`; may be the module (required)")
	flags.StringVarP(&f.usage, "usage-path", "u", "",
		"`file` with the policy's manual, in Markdown")
	f.add(flags)
	return cmd
}

// sameFile reports whether two paths name the same file.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

func (c *command) annotateModule(ctx context.Context, f *annotateFlags, argument string) error {
	text, err := c.read(f.metadata)
	if err != nil {
		return err
	}
	metadata, err := annotate.ParseMetadata(text)
	if err != nil {
		return inFile(f.metadata, err)
	}
	for _, line := range metadata.NearMisses() {
		c.warn(f.metadata + ": " + line)
	}
	if f.usage != "" {
		usage, err := c.read(f.usage)
		if err != nil {
			return err
		}
		metadata.SetUsage(string(usage))
	}
	fetched, err := c.fetch(ctx,
		&sourceFlags{registryFlags: registryFlags{limitFlags: f.limitFlags}}, nil, argument)
	if err != nil {
		return err
	}
	decoded, err := wasm.Decode(fetched.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", argument, err)
	}
	if err := checkMode(metadata.ExecutionMode, decoded); err != nil {
		return fmt.Errorf("%s: %w", f.metadata, err)
	}
	version := abi.ProtocolVersionUnknown
	if metadata.ExecutionMode == abi.ExecutionModeWaPC {
		if version, err = c.protocolVersion(ctx, f, fetched.Bytes); err != nil {
			return fmt.Errorf("%s: asking the policy for its version of the protocol: %w", argument,
				err)
		}
	}
	metadata.SetProtocolVersion(version)
	annotated, err := metadata.Module(fetched.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", argument, err)
	}
	if err := c.warnOfCapabilities(metadata, argument, annotated); err != nil {
		return err
	}
	return os.WriteFile(f.output, annotated, 0o644)
}

// checkMode returns an error if a module evidently has another execution mode.
func checkMode(mode abi.ExecutionMode, decoded *wasm.Module) error {
	isRego := mode == abi.ExecutionModeOPA || mode == abi.ExecutionModeGatekeeper
	switch made := host.IsRego(decoded); {
	case isRego && !made:
		return errors.New("Wrong value inside of policy's metadata for 'executionMode'. The policy has not been created using Rego") //nolint:staticcheck // the text that Kubewarden's users know
	case !isRego && made:
		return errors.New("Wrong value inside of policy's metadata for 'executionMode'. This policy has been created using Rego") //nolint:staticcheck // the text that Kubewarden's users know
	}
	return nil
}

func (c *command) protocolVersion(ctx context.Context, f *annotateFlags,
	binary []byte) (version string, err error) {
	limits, err := f.limits()
	if err != nil {
		return "", err
	}
	evaluator, err := evaluation.New(evaluation.Options{Limits: limits})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, evaluator.Close()) }()
	defer c.Progress("Asking the policy which protocol it speaks")()
	if version, err = evaluator.ProtocolVersion(c.quietly(ctx), binary); err == nil &&
		version != abi.ProtocolVersion1 {
		err = fmt.Errorf("it is %q, and only %q is supported", version, abi.ProtocolVersion1)
	}
	return version, err
}

func (c *command) warnOfCapabilities(metadata *annotate.Metadata, name string,
	binary []byte) error {
	report, err := inspection.Inspect(name, binary, engine.Limits{})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	missing, superfluous := metadata.Undeclared(report.HostCapabilities)
	if len(missing) > 0 {
		fmt.Fprintf(c.Err,
			"Warning: hostCapabilities: the module seems to call capabilities that are not listed: %s\n",
			strings.Join(missing, ", "))
	}
	if len(superfluous) > 0 {
		fmt.Fprintf(c.Err,
			"Warning: hostCapabilities: the module does not seem to call capabilities that are listed: %s\n",
			strings.Join(superfluous, ", "))
	}
	return nil
}
