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
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/admissiontest"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/evaluation"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// testFlags are the flags of test.
type testFlags struct {
	sourceFlags
	outputFlag
	junit, only string
	timeout     time.Duration
}

func (c *command) test() *cobra.Command {
	f := &testFlags{}
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Test policies with cases: requests and expected verdicts",
		Long: `Runs the cases in the given files, and in the files below the given directories that
are called cases.yaml or end with .cases.yaml:

  policy: policy.wasm              # the module; this is the default
  settings: {labels: {team: "."}}  # for all cases without settings
  cases:
  - request: testdata/pod-create.json
    expect: {allowed: false, message: 'required labels: label "team" is missing'}
  - settings: {}                   # without a request: validates the settings
    expect: {settingsError: at least one label is required}

If there is a file testdata/mutated/pod-create.json, the mutated object must equal it.
Otherwise, the policy must not change the object. docs/wasmctl.md describes all
fields.

The exit code is 1 if a case fails. Host calls are answered only from the session
that a case names.`,
		Example: `  wasmctl test .
  wasmctl test --junit report.xml policies/`,
		Args: someArguments("PATH", "a file of cases, or a directory with some"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			if err := checkTimeout(cmd.Flags(), f.timeout); err != nil {
				return err
			}
			return c.testPolicies(cmd.Context(), f, arguments)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.junit, "junit", "",
		"also write the results as JUnit XML to a `file`, or to standard output if it is -")
	flags.StringVar(&f.only, "only", "", "run only cases with this `text` in their name")
	flags.DurationVar(&f.timeout, "timeout", 0,
		"time limit of an evaluation, a `duration` (default limits.evaluationTimeout, 2s)")
	f.outputFlag.add(flags, "table", "json", "yaml", "junit")
	f.sourceFlags.add(flags)
	f.completeFormats(cmd)
	return cmd
}

func (c *command) testPolicies(ctx context.Context, f *testFlags, paths []string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	files, err := readCases(paths, f.only)
	if err != nil {
		return err
	}
	results, err := c.runCases(ctx, f, files)
	if err != nil {
		return err
	}
	if err := c.printResults(f, results); err != nil {
		return err
	}
	for n := range results {
		if !results[n].Passed() {
			return errSaid
		}
	}
	return nil
}

func readCases(paths []string, only string) ([]*admissiontest.File, error) {
	names, err := admissiontest.Find(paths...)
	if err != nil {
		return nil, err
	}
	var files []*admissiontest.File
	var errs []error
	for _, name := range names {
		file, err := admissiontest.Read(name)
		files, errs = append(files, file), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if only != "" {
		if files = admissiontest.Filter(files, only); len(files) == 0 {
			return nil, fmt.Errorf("no case has %q in its name", only)
		}
	}
	return files, nil
}

func (c *command) runCases(ctx context.Context, f *testFlags,
	files []*admissiontest.File) (results []admissiontest.Result, err error) {
	fetcher, err := f.fetcher(nil, c.Transferred)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fetcher.Close()) }()
	evaluator, err := f.evaluator(fetcher, f.timeout)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, evaluator.Close()) }()
	shell := evaluation.NewShell(evaluator)
	defer shell.Close()
	defer c.Progress("Running cases")()
	return admissiontest.Run(c.quietly(ctx), shell, files), nil
}

// caseResult is a result in the form in which it is printed.
type caseResult struct {
	File     string   `json:"file"`
	Case     string   `json:"case"`
	Result   string   `json:"result"`
	Seconds  float64  `json:"seconds"`
	Failures []string `json:"failures,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// The possible results of a case.
const (
	casePassed = "passed"
	caseFailed = "failed"
	caseError  = "error"
)

func printed(r *admissiontest.Result) caseResult {
	p := caseResult{
		File:     r.File,
		Case:     r.Case.Name,
		Result:   casePassed,
		Seconds:  r.Duration.Seconds(),
		Failures: r.Failures,
	}
	switch {
	case r.Err != nil:
		p.Result, p.Error = caseError, r.Err.Error()
	case len(r.Failures) > 0:
		p.Result = caseFailed
	}
	return p
}

func (c *command) printResults(f *testFlags, results []admissiontest.Result) error {
	if f.junit == "-" || f.format == "junit" {
		return admissiontest.WriteJUnit(c.Out, results)
	}
	if f.junit != "" {
		if err := writeFile(f.junit, func(w io.Writer) error {
			return admissiontest.WriteJUnit(w, results)
		}); err != nil {
			return err
		}
	}
	all := make([]caseResult, len(results))
	for n := range results {
		all[n] = printed(&results[n])
	}
	return f.print(c.Out, all, func(w io.Writer) error { return c.writeResults(w, all) })
}

// writeResults writes a table of all cases, then the details of failed cases and the totals.
func (c *command) writeResults(w io.Writer, results []caseResult) error {
	err := columns(w, func(w io.Writer) {
		fmt.Fprintln(w, "FILE\tCASE\tSECONDS\tRESULT")
		for _, r := range results {
			// The escape sequences of colors would count as width, so this column must be the last
			// one.
			fmt.Fprintf(w, "%s\t%s\t%.3f\t%s\n", r.File, abbreviate(r.Case), r.Seconds,
				c.paintResult(r.Result))
		}
	})
	failed := 0
	for _, r := range results {
		if r.Result == casePassed {
			continue
		}
		failed++
		fmt.Fprintf(w, "\n%s: %s\n", r.File, c.Paint(terminal.Bold, r.Case))
		for _, failure := range append(r.Failures, r.Error) {
			if failure != "" {
				fmt.Fprintf(w, "  %s\n",
					strings.ReplaceAll(terminal.Plain(withFlags(c.flags, failure)), "\n", "\n  "))
			}
		}
	}
	fmt.Fprintf(w, "\n%s, %d failed\n", counted(len(results), "case"), failed)
	return err
}

// abbreviate cuts a name to the width of a table.
func abbreviate(name string) string {
	const most = 50
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return name
}

func (c *command) paintResult(result string) string {
	if result == casePassed {
		return c.Paint(terminal.Green, result)
	}
	return c.Paint(terminal.Red, result)
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
