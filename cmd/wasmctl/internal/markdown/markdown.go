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

// Package markdown writes the help of commands as Markdown.
package markdown

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands writes a section for each subcommand, and one for the common flags.
func Commands(b *strings.Builder, root *cobra.Command) {
	sections(b, root)
	b.WriteString("\n## Flags of all commands\n\n")
	flags(b, root.PersistentFlags())
}

// sections writes sections for the subcommands. It skips commands that only have subcommands.
func sections(b *strings.Builder, parent *cobra.Command) {
	for _, command := range parent.Commands() {
		if !command.IsAvailableCommand() && !command.HasAvailableSubCommands() {
			continue
		}
		if command.HasSubCommands() {
			sections(b, command)
			continue
		}
		section(b, command)
	}
}

// section writes the section of a command.
func section(b *strings.Builder, command *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n```text\n%s\n```\n\n%s\n", command.CommandPath(),
		command.Short, command.UseLine(), prose(command.Long))
	if command.Example != "" {
		fmt.Fprintf(b, "\n```console\n%s\n```\n",
			strings.ReplaceAll(strings.TrimPrefix(command.Example, "  "), "\n  ", "\n"))
	}
	if command.HasLocalFlags() {
		b.WriteString("\n")
		flags(b, command.LocalNonPersistentFlags())
	}
}

// prose converts a help text to Markdown. Indented lines become literal blocks.
func prose(text string) string {
	var b strings.Builder
	literal := false
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		indented := strings.HasPrefix(line, "  ")
		if indented && !literal {
			b.WriteString("```yaml\n")
		}
		if !indented && literal && line == "" &&
			(n+1 == len(lines) || !strings.HasPrefix(lines[n+1], "  ")) {
			b.WriteString("```\n")
			indented = false
		}
		literal = indented || literal && line == "" && n+1 < len(lines) &&
			strings.HasPrefix(lines[n+1], "  ")
		b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// flags writes a table of flags.
func flags(b *strings.Builder, set *pflag.FlagSet) {
	b.WriteString("| Flag | Meaning |\n|---|---|\n")
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "`--" + f.Name
		if value != "" {
			name += " " + strings.ToUpper(value)
		}
		name += "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0s" {
			usage += " (default `" + strings.Trim(f.DefValue, "[]") + "`)"
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`))
	})
}
