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
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// outputFlag selects a command's output format.
type outputFlag struct {
	format  string
	formats []string
}

// add adds the flag. The first format is the default.
func (f *outputFlag) add(flags *pflag.FlagSet, formats ...string) {
	f.formats = formats
	flags.StringVarP(&f.format, "output", "o", formats[0], "`format`: "+strings.Join(formats, ", "))
}

// completeFormats makes shells complete the formats.
func (f *outputFlag) completeFormats(cmd *cobra.Command) { complete(cmd, "output", f.formats...) }

// complete makes shells complete the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The registration fails only for flags that the command lacks.
	utilruntime.Must(cmd.RegisterFlagCompletionFunc(flag,
		cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

func (f *outputFlag) check() error {
	if !slices.Contains(f.formats, f.format) {
		return usagef("--output: there is no format %q: write one of %s", f.format,
			strings.Join(f.formats, ", "))
	}
	return nil
}

// print prints a value. For the format table, it calls table.
func (f *outputFlag) print(w io.Writer, value any, table func(io.Writer) error) error {
	switch f.format {
	case "json":
		text, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, string(text))
		return err
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	return table(w)
}

// columns writes a table.
func columns(w io.Writer, write func(w io.Writer)) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	write(table)
	return table.Flush()
}

// namedResponse is a response with the name of its policy.
type namedResponse struct {
	Policy string `json:"policy"`
	*review.Response
}

// printResponse prints a response, in JSON as one line. If there are several responses, it adds the
// policy's name. A single response has kwctl's format.
func (c *command) printResponse(f *outputFlag, policy string, oneOfSeveral bool,
	response *review.Response) error {
	var value any = response
	if oneOfSeveral {
		value = namedResponse{policy, response}
	}
	switch f.format {
	case "json":
		encoder := json.NewEncoder(c.Out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	case "yaml":
		fmt.Fprintln(c.Out, "---")
	}
	return f.print(c.Out, value, func(w io.Writer) error {
		return columns(w, func(w io.Writer) { c.writeResponse(w, policy, response) })
	})
}

func (c *command) writeResponse(w io.Writer, policy string, response *review.Response) {
	fmt.Fprintf(w, "POLICY\t%s\n", cell(policy))
	if response.Allowed {
		fmt.Fprintf(w, "VERDICT\t%s\n", c.Paint(terminal.Green, "allowed"))
	} else {
		fmt.Fprintf(w, "VERDICT\t%s\n", c.Paint(terminal.Red, "rejected"))
	}
	if s := response.Status; s != nil {
		if s.Message != "" {
			fmt.Fprintf(w, "MESSAGE\t%s\n", cell(s.Message))
		}
		if s.Reason != "" {
			fmt.Fprintf(w, "REASON\t%s\n", cell(s.Reason))
		}
		if s.Code != 0 {
			fmt.Fprintf(w, "CODE\t%d\n", s.Code)
		}
		if s.Details != nil {
			for _, cause := range s.Details.Causes {
				fmt.Fprintf(w, "CAUSE\t%s\n",
					cell(strings.TrimPrefix(cause.Field+": "+cause.Message, ": ")))
			}
		}
	}
	for _, warning := range response.Warnings {
		fmt.Fprintf(w, "WARNING\t%s\n", cell(warning))
	}
	for _, name := range sortedKeys(response.AuditAnnotations) {
		fmt.Fprintf(w, "ANNOTATION\t%s\n", cell(name+"="+response.AuditAnnotations[name]))
	}
	if response.Patch != nil {
		fmt.Fprintf(w, "PATCH\t%s\n", cell(string(response.Patch)))
	}
}

// cell returns a foreign text as the last cell of a row. Further lines stay in its column: a guest
// must not be able to make rows, such as one with another verdict.
func cell(text string) string {
	return strings.NewReplacer("\n", "\n\t", "\t", "    ").Replace(terminal.Plain(text))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// counted formats a number with its noun.
func counted[N int | uint64](count N, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	if stem, is := strings.CutSuffix(noun, "y"); is {
		return fmt.Sprintf("%d %sies", count, stem)
	}
	return fmt.Sprintf("%d %ss", count, noun)
}
