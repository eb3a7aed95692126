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

// Package docs runs the commands in the guides in docs/authors and docs/admins exactly as written.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// kinds are the words that may follow "console" at the start of a block of commands.
var kinds = map[string]string{
	"run":     "every command succeeds",
	"denied":  "the last command fails, the others succeed",
	"serve":   "the command runs until the page ends, and prints a line that begins with export",
	"cluster": "not run: it needs a cluster",
	"network": "not run: it needs the internet",
}

// page is a guide.
type page struct {
	path string
	// needs is a command that fails if the page cannot be followed on this machine. It may be
	// empty.
	needs  string
	blocks []block
}

// block is a fenced block of commands.
type block struct {
	kind     string
	line     int
	commands []command
}

// command is a command that a reader types, and the lines that it must print. In a line, … stands
// for any text.
type command struct {
	text   string
	output []string
}

var (
	needs   = regexp.MustCompile(`^<!-- needs: (.*) -->$`)
	heredoc = regexp.MustCompile(`<<'?([A-Z]+)'?`)
)

// readPages reads all guides in the directories.
func readPages(directories ...string) ([]page, error) {
	var pages []page
	for _, directory := range directories {
		paths, err := filepath.Glob(filepath.Join(directory, "*.md"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			p, err := parse(string(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			p.path = path
			pages = append(pages, p)
		}
	}
	return pages, nil
}

// parse parses the blocks of commands in a guide.
func parse(text string) (page, error) {
	var p page
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if match := needs.FindStringSubmatch(lines[i]); match != nil {
			p.needs = match[1]
		}
		language, fenced := strings.CutPrefix(lines[i], "```")
		if !fenced {
			if strings.HasPrefix(strings.TrimSpace(lines[i]), "```console") {
				return page{}, fmt.Errorf("line %d: blocks of commands are not indented", i+1)
			}
			continue
		}
		begin := i
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		if i == len(lines) {
			return page{}, fmt.Errorf("line %d: the block does not end", begin+1)
		}
		language, kind, _ := strings.Cut(language, " ")
		if language != "console" {
			continue
		}
		if _, known := kinds[kind]; !known {
			return page{}, fmt.Errorf(
				"line %d: console %q: want one of run, denied, serve, cluster, network",
				begin+1, kind)
		}
		commands, err := parseCommands(lines[begin+1 : i])
		if err != nil {
			return page{}, fmt.Errorf("line %d: %w", begin+1, err)
		}
		p.blocks = append(p.blocks, block{kind: kind, line: begin + 1, commands: commands})
	}
	return p, nil
}

// parseCommands splits a block into commands. A command starts with a prompt. It continues after a
// backslash, and until the end of its here-document.
func parseCommands(lines []string) ([]command, error) {
	var commands []command
	for i := 0; i < len(lines); i++ {
		text, typed := strings.CutPrefix(lines[i], "$ ")
		if !typed {
			if len(commands) == 0 {
				return nil, fmt.Errorf("%q is output of no command", lines[i])
			}
			last := &commands[len(commands)-1]
			last.output = append(last.output, lines[i])
			continue
		}
		for strings.HasSuffix(lines[i], `\`) && i+1 < len(lines) {
			i++
			text += "\n" + lines[i]
		}
		if match := heredoc.FindStringSubmatch(text); match != nil {
			for ended := false; !ended; {
				if i++; i == len(lines) {
					return nil, fmt.Errorf("the here-document of %q does not end", text)
				}
				text += "\n" + lines[i]
				ended = lines[i] == match[1]
			}
		}
		commands = append(commands, command{text: text})
	}
	if len(commands) == 0 {
		return nil, fmt.Errorf("there is no command: they begin with %q", "$ ")
	}
	return commands, nil
}

// missing returns the lines that the output lacks, in order.
func missing(want []string, output string) []string {
	var lacking []string
	for _, line := range want {
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		found := regexp.MustCompile(`(?m)^` + strings.Join(parts, `.*`) + `\s*$`).
			FindStringIndex(output)
		if found == nil {
			lacking = append(lacking, line)
			continue
		}
		output = output[found[1]:]
	}
	return lacking
}
