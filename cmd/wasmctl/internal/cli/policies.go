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
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/policystore"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

func (c *command) policies() *cobra.Command {
	return &cobra.Command{
		Use:   "policies",
		Short: "List the store of policies",
		Long: `Lists the policies that were pulled or loaded: whether they are mutating and read the
cluster, according to their metadata, their size, and the beginning of their digest,
which other commands accept as a name.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.listPolicies() },
	}
}

func (c *command) listPolicies() error {
	store, err := policystore.Default()
	if err != nil {
		return err
	}
	rows := [][]string{{"Policy", "Mutating", "Context aware", "SHA-256", "Size"}}
	done := c.Progress("Reading " + store.Root())
	err = store.Each(func(uri string, content []byte) error {
		mutating, contextAware := "unknown", "no"
		if metadata, err := abi.ReadMetadata(content); err == nil {
			mutating, contextAware = yesOrNo(metadata.Mutating),
				yesOrNo(len(metadata.ContextAwareResources) > 0)
		}
		digest := strings.TrimPrefix(engine.Digest(content), "sha256:")
		rows = append(rows,
			[]string{terminal.Plain(uri), mutating, contextAware, digest[:12], size(len(content))})
		return nil
	})
	done()
	if err != nil || len(rows) == 1 {
		return err
	}
	return boxed(c.Out, rows)
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// size formats a number of bytes as kwctl does: 224.63 kB.
func size(bytes int) string {
	value, unit := float64(bytes), 0
	units := []string{"B", "kB", "MB", "GB"}
	for value >= 1000 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return strconv.FormatFloat(math.Round(value*100)/100, 'f', -1, 64) + " " + units[unit]
}

// boxed writes a table with lines around its cells, as kwctl does. The first row holds the titles.
func boxed(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for n, cell := range row {
			widths[n] = max(widths[n], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func() {
		for _, width := range widths {
			b.WriteString("+" + strings.Repeat("-", width+2))
		}
		b.WriteString("+\n")
	}
	line()
	for n, row := range rows {
		for m, cell := range row {
			fmt.Fprintf(&b, "| %-*s ", widths[m], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			line()
		}
	}
	line()
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *command) rm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm POLICY",
		Short: "Remove a policy from the store",
		Long: `Removes a policy that was pulled or loaded. POLICY is its URI, or the beginning of its
digest.`,
		Example: `  wasmctl rm registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
  wasmctl rm 0d2cc30f6cdd`,
		Args: oneArgument("POLICY",
			"the URI of a policy in the store, or the beginning of its digest"),
		RunE: func(_ *cobra.Command, arguments []string) error {
			store, err := policystore.Default()
			if err != nil {
				return err
			}
			uri, err := storedPolicy(store, arguments[0])
			if err != nil {
				return err
			}
			return store.Remove(uri)
		},
	}
}

// storedPolicy returns the URI in the store of the policy that the command line names.
func storedPolicy(store *policystore.Store, argument string) (string, error) {
	if policystore.IsDigestBeginning(argument) {
		uri, _, err := store.Find(argument)
		return uri, err
	}
	if !strings.Contains(argument, "://") {
		return "", &policystore.NotFoundError{Policy: argument}
	}
	if _, err := policystore.Place(argument); err != nil {
		return "", fmt.Errorf("%s: %w", module.Redact(argument), err)
	}
	return argument, nil
}
