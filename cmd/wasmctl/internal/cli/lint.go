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
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// lintFlags are the flags of lint.
type lintFlags struct {
	outputFlag
	sourceFlags
	policyDirectory, against string
}

func (c *command) lint() *cobra.Command {
	f := &lintFlags{}
	cmd := &cobra.Command{
		Use:   "lint [CONFIGURATION]",
		Short: "Check whether a server would start with a configuration",
		Long: `Does what kube-apiserver does with its policies when it starts: it reads the
configuration and the manifests in its policy directory, fetches and compiles all
modules, and has each policy validate its settings. It names every problem with its
policy, file and field. The exit code is 1 if there is any.

CONFIGURATION is a WasmAdmissionConfiguration, or the AdmissionConfiguration of a
server that contains or names one. The server's state directory is not touched. As on
a server, files must not be writable by others.

CONFIGURATION may also be a break-glass file. It is checked alone, and the exit code
is 1 if a server would not obey it now. A break-glass file that a configuration names
is checked too. Its problems are warnings, because a server would start.

With --against, the command also asks a running server whether it serves this
configuration already. It compares hashes: the same files under the same paths have
the same hash. It cannot tell what differs.`,
		Example: `  wasmctl lint /etc/kubernetes/admission.yaml
  wasmctl lint --policy-directory policies.d
  wasmctl lint break-glass.yaml
  wasmctl lint --against ~/.kube/config /etc/kubernetes/admission.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			path := ""
			switch {
			case len(arguments) > 0:
				path = arguments[0]
			case f.policyDirectory == "":
				return usagef("name a configuration, or --policy-directory, or both")
			}
			return c.lintConfiguration(cmd.Context(), f, path)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.policyDirectory, "policy-directory", "",
		"`directory` of manifests to use instead of the configuration's")
	flags.StringVar(&f.against, "against", "", "`kubeconfig` of a running server to compare with")
	flags.StringVar(&f.cache, "cache-directory", "",
		"`directory` for modules from registries and compiled code (default wasmctl in the user's cache directory)")
	f.outputFlag.add(flags, "table", "json", "yaml")
	f.completeFormats(cmd)
	return cmd
}

func (c *command) lintConfiguration(ctx context.Context, f *lintFlags, path string) error {
	if err := f.check(); err != nil {
		return err
	}
	report := c.report(ctx, f, path)
	if f.against != "" {
		if err := c.compare(ctx, f, report); err != nil {
			return err
		}
	}
	if err := f.print(c.Out, report, func(w io.Writer) error {
		return c.writeLint(w, report)
	}); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return errSaid
	}
	return nil
}

func (c *command) compare(ctx context.Context, f *lintFlags, report *linting.Report) error {
	defer c.Progress("Asking the server")()
	return report.Against(ctx, f.against)
}

func (c *command) report(ctx context.Context, f *lintFlags, path string) *linting.Report {
	defer c.Progress("Loading policies")()
	return linting.Lint(c.quietly(ctx), linting.Options{
		Path:            path,
		PolicyDirectory: f.policyDirectory,
		StateDirectory:  f.directory("lint"),
	})
}

func (c *command) writeLint(w io.Writer, r *linting.Report) error {
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "%s %s\n", c.Paint(terminal.Red, "problem:"), terminal.Plain(problem))
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "%s %s\n", c.Paint(terminal.Yellow, "warning:"), terminal.Plain(warning))
	}
	for _, unseen := range r.Unseen {
		fmt.Fprintf(w, "%s %s\n", c.Paint(terminal.Yellow, "not checked:"), unseen)
	}
	switch bad := len(r.Problems) > 0; {
	case r.BreakGlass && bad:
		fmt.Fprintf(w, "A server would %s the file: %s\n", c.Paint(terminal.Red, "not obey"),
			counted(len(r.Problems), "problem"))
	case r.BreakGlass:
		fmt.Fprintf(w, "A server would %s the file, if it serves policies of these names\n",
			c.Paint(terminal.Green, "obey"))
	case bad:
		fmt.Fprintf(w, "A server would %s: %s, %s\n", c.Paint(terminal.Red, "not start"),
			counted(len(r.Problems), "problem"), counted(len(r.Warnings), "warning"))
	default:
		fmt.Fprintf(w, "A server would %s: %s, %s\n", c.Paint(terminal.Green, "start"),
			counted(len(r.Policies), "policy"), counted(len(r.Warnings), "warning"))
	}
	if len(r.Policies) > 0 {
		fmt.Fprintln(w)
		err := columns(w, func(w io.Writer) {
			fmt.Fprintln(w, "POLICY\tMODE\tMUTATING\tMODULE")
			for _, p := range r.Policies {
				fmt.Fprintf(w, "%s\t%s\t%t\t%s\n", p.Name, p.Mode, p.Mutating, p.Digest)
			}
		})
		if err != nil {
			return err
		}
	}
	if r.Hash != "" {
		fmt.Fprintf(w, "\nSet: %s\n", r.Hash)
	}
	c.writeServer(w, r)
	return nil
}

func (c *command) writeServer(w io.Writer, r *linting.Report) {
	s := r.Server
	if s == nil {
		return
	}
	switch {
	case s.Same:
		fmt.Fprintf(w, "The server at %s serves %s: nothing would change.\n", s.URL,
			c.Paint(terminal.Green, "this set"))
	case r.Hash == "":
		fmt.Fprintf(w, "The server at %s serves the set %s, and would go on with it.\n", s.URL,
			s.Running)
	default:
		fmt.Fprintf(w,
			"The server at %s serves %s, %s: policies, settings, modules or the paths of files would change. It does not report which.\n",
			s.URL, c.Paint(terminal.Yellow, "another set"), s.Running)
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "It cannot load its own configuration (%s):\n%s\n", s.Desired, s.Problem)
	}
}
