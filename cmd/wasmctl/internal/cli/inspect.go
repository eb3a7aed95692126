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
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/inspection"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/signatures"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	sourceFlags
	outputFlag
	showSignatures bool
}

// inspected holds everything to print about a module.
type inspected struct {
	*inspection.Report
	Signatures *signatures.Report `json:"signatures,omitempty"`
}

// metadataAlone is the content that kwctl prints about a module in YAML.
type metadataAlone struct {
	*abi.Metadata
	Signatures *signatures.Report `json:"signatures,omitempty"`
}

func (c *command) inspect() *cobra.Command {
	f := &inspectFlags{}
	cmd := &cobra.Command{
		Use:   "inspect MODULE",
		Short: "Describe a module without evaluating a request",
		Long: `Shows a module's metadata, digest, imports, exports, the WebAssembly features that it
uses, and the host capabilities whose names are in its data. It also shows whether a
server with the given limits would refuse the module, whether its instances can be
reused, and how near it is to each limit on compilation, with the largest function.

It finds out the module's ABI, whatever its metadata says: waPC, WASI (a command), or
that of the Open Policy Agent. For a policy in Rego, it lists the entrypoints and the
built-in functions that it needs of its host, and says which of them are missing and
why.

With --show-signatures, it looks for signatures in the registry or beside the file, in
both of cosign's formats. It shows what they claim, and does not verify it: use
verify for that.`,
		Example: `  wasmctl inspect policy.wasm
  wasmctl inspect -o json registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3`,
		Args: oneArgument("MODULE", "the path or URI of a module"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			return c.inspectModule(cmd.Context(), f, arguments[0])
		},
	}
	f.outputFlag.add(cmd.Flags(), "table", "json", "yaml")
	f.sourceFlags.add(cmd.Flags())
	cmd.Flags().BoolVar(&f.showSignatures, "show-signatures", false,
		"list signatures, without verifying them")
	f.completeFormats(cmd)
	return cmd
}

func (c *command) inspectModule(ctx context.Context, f *inspectFlags, argument string) error {
	if err := f.check(); err != nil {
		return err
	}
	fetched, err := c.fetch(ctx, &f.sourceFlags, nil, argument)
	if err != nil {
		return err
	}
	limits, err := f.limits()
	if err != nil {
		return err
	}
	report, err := inspection.Inspect(argument, fetched.Bytes, assembly.EngineLimits(limits))
	if err != nil {
		return fmt.Errorf("%s: %w", argument, err)
	}
	report.Module = module.Redact(report.Module)
	if report.Rego != nil {
		if err := c.describeRego(ctx, f, report.Rego, fetched.Bytes); err != nil {
			return err
		}
	}
	i := inspected{Report: report}
	if f.showSignatures {
		i.Signatures, err = c.signatures(ctx, &f.registryFlags, argument, fetched.Digest)
		if err != nil {
			return err
		}
	}
	if c.name == kwctl && f.format == "yaml" && report.Metadata != nil {
		return f.print(c.Out, metadataAlone{report.Metadata, i.Signatures}, nil)
	}
	return f.print(c.Out, i, func(w io.Writer) error {
		return errors.Join(c.writeReport(w, report), c.writeSignatures(w, i.Signatures))
	})
}

// describeRego reads the description that a Rego policy gives of itself.
func (c *command) describeRego(ctx context.Context, f *inspectFlags, r *inspection.Rego,
	binary []byte) (err error) {
	evaluator, err := f.evaluator(nil, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, evaluator.Close()) }()
	defer c.Progress("Asking the policy what it needs")()
	if r.Rego, err = evaluator.DescribeRego(c.quietly(ctx), binary); err != nil {
		r.Problem = err.Error()
	}
	return nil
}

// fetch fetches the module that the command line names. It verifies the module unless the verifier
// is nil.
func (c *command) fetch(ctx context.Context, f *sourceFlags, verifier module.Verifier,
	argument string) (fetched *module.Module, err error) {
	uri, err := sources.URI(argument)
	if err != nil {
		return nil, err
	}
	fetcher, err := f.fetcher(verifier, c.Transferred)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	defer c.Progress("Fetching " + module.Redact(uri))()
	return fetcher.Get(c.quietly(ctx), module.Request{URI: uri})
}

func (c *command) writeReport(w io.Writer, r *inspection.Report) error {
	err := columns(w, func(w io.Writer) {
		fmt.Fprintf(w, "Module:\t%s\n", r.Module)
		fmt.Fprintf(w, "Digest:\t%s\n", r.Digest)
		fmt.Fprintf(w, "Size:\t%d bytes, %s\n", r.Bytes, counted(r.Functions, "function"))
		c.writeMetadata(w, r)
		c.writeConvention(w, r)
		fmt.Fprintf(w, "Features:\t%s\n", listed(r.Features))
		fmt.Fprintf(w, "Memory:\t%s\n", memory(r.Memory))
		fmt.Fprintf(w, "Host capabilities:\t%s\n", hostCapabilities(r))
		fmt.Fprintf(w, "Instances:\t%s\n", c.instances(r))
	})
	if err == nil {
		err = c.writeCompilation(w, r.Compilation)
	}
	for _, list := range []struct {
		title   string
		entries []string
	}{{"Imports", r.Imports}, {"Exports", r.Exports},
		{"Instances cannot be used again because", r.FreshInstances}} {
		if len(list.entries) > 0 {
			fmt.Fprintf(w, "\n%s:\n  %s\n", c.Paint(terminal.Bold, list.title),
				terminal.Plain(strings.Join(list.entries, "\n  ")))
		}
	}
	return err
}

// writeCompilation writes how close a module is to the limits on the cost of its compilation.
func (c *command) writeCompilation(w io.Writer, counts []weight.Count) error {
	if len(counts) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s:\n", c.Paint(terminal.Bold, "Cost of compilation"))
	return columns(w, func(w io.Writer) {
		for _, count := range counts {
			share := fmt.Sprintf("%d%%", int64(100*float64(count.Value)/float64(count.Bound)))
			if count.Value > count.Bound {
				share = c.Paint(terminal.Red, share)
			}
			fmt.Fprintf(w, "  %s\t%d of %d\t%s\t%s\n", count.Name, count.Value, count.Bound, share,
				terminal.Plain(count.Who()))
		}
	})
}

func (c *command) writeMetadata(w io.Writer, r *inspection.Report) {
	m := r.Metadata
	if m == nil {
		fmt.Fprintf(w, "Metadata:\t%s\n",
			c.Paint(terminal.Red,
				terminal.Plain(strings.ReplaceAll(r.MetadataProblem, "\n", "; "))))
		return
	}
	for _, annotation := range []struct{ title, name string }{
		{"Title", "title"}, {"Version", "version"}, {"Description", "description"},
		{"Author", "author"}, {"URL", "url"},
		{"Source", "source"}, {"License", "license"}, {"Category", "category"},
		{"Severity", "severity"},
	} {
		if text := m.Annotations["io.kubewarden.policy."+annotation.name]; text != "" {
			fmt.Fprintf(w, "%s:\t%s\n", annotation.title,
				terminal.Plain(strings.Join(strings.Fields(text), " ")))
		}
	}
	protocol := ""
	if m.ProtocolVersion != "" && m.ProtocolVersion != abi.ProtocolVersionUnknown {
		protocol = fmt.Sprintf("protocol %s, ", m.ProtocolVersion)
	}
	fmt.Fprintf(w, "Execution mode:\t%s, %s%s requests\n", m.ExecutionMode, protocol, m.PolicyType)
	fmt.Fprintf(w, "Mutating:\t%t\n", m.Mutating)
	fmt.Fprintf(w, "Would read:\t%s\n", listed(kindNames(m.ContextAwareResources)))
	for _, rule := range m.Rules {
		fmt.Fprintf(w, "Rule:\t%s of %s in %s of %s\n", listed(rule.Operations),
			listed(rule.Resources), listed(rule.APIVersions), groups(rule.APIGroups))
	}
}

// kindNames formats kinds as Kubewarden's users write them.
func kindNames(kinds []abi.ContextAwareResource) (names []string) {
	for _, kind := range kinds {
		names = append(names, kind.APIVersion+"/"+kind.Kind)
	}
	return names
}

// writeConvention writes the calling convention that a module was built for.
func (c *command) writeConvention(w io.Writer, r *inspection.Report) {
	switch r.Convention {
	case inspection.ConventionWaPC:
		fmt.Fprintln(w, "Made for:\twaPC")
	case inspection.ConventionWASI:
		fmt.Fprintln(w,
			"Made for:\tWASI, as a command: it starts at _start, reads the standard input and writes the standard output")
	case inspection.ConventionRego:
		c.writeRego(w, r.Rego)
	default:
		fmt.Fprintf(w, "Made for:\t%s\n", c.Paint(terminal.Red, "no known convention for policies"))
	}
}

func (c *command) writeRego(w io.Writer, r *inspection.Rego) {
	version := "of no version that it says"
	if r.ABIVersion != "" {
		version = r.ABIVersion
	}
	fmt.Fprintf(w, "Made for:\tthe Open Policy Agent's ABI %s\n", version)
	if r.Rego == nil {
		fmt.Fprintf(w, "Entrypoints:\t%s\n",
			c.Paint(terminal.Red, "unknown: "+terminal.Plain(r.Problem)))
		return
	}
	fmt.Fprintf(w, "Entrypoints:\t%s\n", listed(r.Entrypoints))
	fmt.Fprintf(w, "Built-in functions:\t%s\n", listed(r.Builtins))
	if len(r.MissingBuiltins) > 0 {
		fmt.Fprintf(w, "Not provided:\t%s\n",
			c.Paint(terminal.Red, listed(r.MissingBuiltins)+": no server loads it"))
		for _, name := range slices.Sorted(maps.Keys(r.WithheldReasons)) {
			fmt.Fprintf(w, "  %s:\t%s\n", name, r.WithheldReasons[name])
		}
	}
}

func groups(names []string) string {
	var all []string
	for _, name := range names {
		if name == "" {
			name = "the core group"
		}
		all = append(all, name)
	}
	return listed(all)
}

func listed(entries []string) string {
	if len(entries) == 0 {
		return "none"
	}
	return terminal.Plain(strings.Join(entries, ", "))
}

func memory(m *inspection.Memory) string {
	if m == nil {
		return "none"
	}
	text := fmt.Sprintf("%d KiB at first", m.Initial>>10)
	if m.Declared > 0 {
		text += fmt.Sprintf(", at most %d KiB by its own word", m.Declared>>10)
	}
	return text + fmt.Sprintf(", at most %d KiB by limits.memory", m.Limit>>10)
}

func hostCapabilities(r *inspection.Report) string {
	if !r.HostCalls {
		return "none, it cannot call the host"
	}
	if len(r.HostCapabilities) == 0 {
		return "none are named in its data"
	}
	return "named in its data: " + listed(r.HostCapabilities)
}

func (c *command) instances(r *inspection.Report) string {
	switch {
	case r.Refused != "":
		return c.Paint(terminal.Red, "refused: "+terminal.Plain(withFlags(c.flags, r.Refused)))
	case r.Resettable:
		return c.Paint(terminal.Green, "can be used again")
	}
	return c.Paint(terminal.Yellow, "a fresh one for each evaluation")
}
