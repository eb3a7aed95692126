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

package docs

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var follow = flag.Bool("docs", false, "run the commands of the guides: make test-docs")

// patience is the time after which a guide counts as hung.
const patience = 8 * time.Minute

const root = "../.."

func guides(t *testing.T) []page {
	t.Helper()
	pages, err := readPages(filepath.Join(root, "docs/authors"), filepath.Join(root, "docs/admins"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	return pages
}

// TestGuidesAreMarked checks, without running anything, that every block of commands says how to
// run it.
func TestGuidesAreMarked(t *testing.T) {
	guides(t)
}

func TestParse(t *testing.T) {
	p, err := parse("<!-- needs: true -->\n```console run\n$ cat <<END\na\nEND\na\n" +
		"$ echo b \\\n  c\nb c\n```\n```yaml\n$ no command\n```")
	require.NoError(t, err)
	require.Equal(t, "true", p.needs)
	require.Equal(t, []block{{kind: "run", line: 2, commands: []command{
		{text: "cat <<END\na\nEND", output: []string{"a"}},
		{text: "echo b \\\n  c", output: []string{"b c"}},
	}}}, p.blocks)

	for text, want := range map[string]string{
		"```console\n$ ls\n```":               "want one of",
		"```console run\n$ ls":                "does not end",
		"```console run\nls\n```":             "output of no command",
		"```console run\n```":                 "there is no command",
		"```console run\n$ cat <<END\na\n```": "here-document",
	} {
		_, err := parse(text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestMissing(t *testing.T) {
	require.Empty(t, missing([]string{"a … c", "d"}, "x\na b c\ny\nd\n"))
	require.Equal(t, []string{"a"}, missing([]string{"d", "a"}, "a\nd\n"),
		"lines must be in order")
	require.Equal(t, []string{"a.c"}, missing([]string{"a.c"}, "abc\n"))
}

// The reader fails if a command does something else than the guide says.
func TestReaderFails(t *testing.T) {
	for name, text := range map[string]string{
		"a command fails":                 "```console run\n$ false\n```",
		"output is missing":               "```console run\n$ echo a\nb\n```",
		"a denied command succeeds":       "```console denied\n$ true\n```",
		"a command before the last fails": "```console denied\n$ false\n$ false\n```",
		"no server":                       "```console serve\n$ true\n```",
	} {
		p, err := parse(text)
		require.NoError(t, err)
		r := newReader(t)
		require.NotEmpty(t, r.read(p), name)
	}
	p, err := parse("```console run\n$ export A=1 && cd && mkdir b && cd b\n" +
		"$ echo $A && basename \"$PWD\"\n1\nb\n```")
	require.NoError(t, err)
	require.Empty(t, newReader(t).read(p), "commands share variables and the working directory")
}

func TestGuides(t *testing.T) {
	if !*follow {
		t.Skip("run make test-docs")
	}
	for _, p := range guides(t) {
		t.Run(filepath.Base(filepath.Dir(p.path))+"/"+filepath.Base(p.path), func(t *testing.T) {
			r := newReader(t)
			if problem := r.run(p.needs); p.needs != "" && problem != nil {
				t.Skipf("this guide needs: %s", p.needs)
			}
			require.Empty(t, r.read(p))
			if !r.followed {
				t.Skip("this guide has no commands that can run here")
			}
		})
	}
}

// reader follows a guide. It starts in the checkout, with an empty home directory.
type reader struct {
	t     *testing.T
	ctx   context.Context
	state string // a file with the variables and the working directory
	out   bytes.Buffer
	// followed is set once a command was run.
	followed bool
}

func newReader(t *testing.T) *reader {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	checkout, err := filepath.Abs(root)
	require.NoError(t, err)
	r := &reader{t: t, ctx: ctx, state: filepath.Join(t.TempDir(), "state")}
	// Keep the caches of Go and Cargo, so that the empty home does not make them download and
	// compile everything again.
	script := "cd '" + checkout + "'\nexport HOME='" + t.TempDir() + "'\n"
	kept, err := exec.CommandContext(ctx, "go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	require.NoError(t, err)
	for i, value := range strings.Fields(string(kept)) {
		script += "export " + []string{"GOCACHE", "GOMODCACHE", "GOPATH"}[i] + "='" + value + "'\n"
	}
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	script += "export CARGO_HOME=\"${CARGO_HOME:-" + home + "/.cargo}\" " +
		"RUSTUP_HOME=\"${RUSTUP_HOME:-" + home + "/.rustup}\"\n"
	require.NoError(t, os.WriteFile(r.state, []byte(script), 0o600))
	return r
}

// read runs the blocks of a page. It returns how the result differs from the page, or "".
func (r *reader) read(p page) string {
	for _, b := range p.blocks {
		for i, c := range b.commands {
			r.t.Logf("%s:%d: $ %s", p.path, b.line, c.text)
			switch b.kind {
			case "cluster", "network":
				r.t.Log(kinds[b.kind])
				continue
			case "serve":
				r.followed = true
				if problem := r.serve(c.text); problem != "" {
					return c.text + ": " + problem
				}
				continue
			}
			r.followed = true
			err := r.run(c.text)
			wantFailure := b.kind == "denied" && i == len(b.commands)-1
			switch lacking := missing(c.output, r.out.String()); {
			case err != nil && !wantFailure:
				return c.text + ": " + err.Error() + "\n" + r.out.String()
			case err == nil && wantFailure:
				return c.text + ": it succeeds\n" + r.out.String()
			case len(lacking) > 0:
				return c.text + ": does not print:\n" + strings.Join(lacking, "\n") +
					"\nbut:\n" + r.out.String()
			}
		}
	}
	return ""
}

// run runs a command in a shell, with the variables and the working directory that the previous
// command left.
func (r *reader) run(text string) error {
	r.out.Reset()
	script := "source '" + r.state + "'\n" + text + "\nstatus=$?\n" +
		"{ printf 'cd %q\\n' \"$PWD\"; export -p; } >'" + r.state + "'\nexit $status\n"
	shell := exec.CommandContext(r.ctx, "bash", "-c", script)
	shell.Stdout, shell.Stderr = &r.out, &r.out
	return shell.Run()
}

// serve starts a server in the background, and exports the variables that it tells readers to
// export.
func (r *reader) serve(text string) string {
	shell := exec.CommandContext(r.ctx, "bash", "-c", "source '"+r.state+"'\n"+text+"\n")
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	read, write, err := os.Pipe()
	require.NoError(r.t, err)
	shell.Stdout, shell.Stderr = write, write
	require.NoError(r.t, shell.Start())
	require.NoError(r.t, write.Close())
	r.t.Cleanup(func() {
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGINT)
		_ = shell.Wait()
		_ = read.Close()
	})
	var log strings.Builder
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "export ") {
			go func() {
				for lines.Scan() {
				}
			}()
			require.NoError(r.t, r.run(lines.Text()))
			return ""
		}
	}
	return "it does not serve:\n" + log.String()
}
