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

package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const (
	repository  = "../.."
	columns     = 120
	answerLines = 15
)

// line is a line of a document and its context.
type line struct {
	text   string
	number int
	code   bool // inside a fence
}

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	bullet  = regexp.MustCompile(`^ *(?:[-*+] |\d+\. )?`)
	markup  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// TestDocumentsAreNotTooWide checks that a line is wide only if Markdown or a long word does not
// allow a break.
func TestDocumentsAreNotTooWide(t *testing.T) {
	checked := 0
	for _, document := range documents(t) {
		if !strings.HasPrefix(document, "docs/") && strings.Contains(document, "/") {
			continue
		}
		checked++
		for _, l := range linesOf(t, document) {
			require.False(t, tooWide(l), "%s:%d is wider than %d columns", document, l.number,
				columns)
		}
	}
	require.Greater(t, checked, 35)
}

func TestWideLinesAreFound(t *testing.T) {
	long := strings.Repeat("x", columns)
	for text, wide := range map[string]bool{
		long: false, long + "x": false, "- " + long: false, "1. " + long + "xx": false,
		"  " + long: false, "a " + long: true, "- a " + long: true,
		"| a " + long: false, "é" + long[1:]: false, "### a " + long: false,
		"![a b](" + long + ")": false,
	} {
		require.Equal(t, wide, tooWide(line{text: text}), text)
	}
	require.False(t, tooWide(line{text: "a " + long, code: true}))
}

func tooWide(l line) bool {
	if l.code || utf8.RuneCountInString(l.text) <= columns || strings.HasPrefix(l.text, "#") ||
		strings.HasPrefix(l.text, "![") || strings.HasPrefix(strings.TrimSpace(l.text), "|") {
		return false
	}
	return strings.Contains(strings.TrimPrefix(l.text, bullet.FindString(l.text)), " ")
}

// TestAnswersAreShort checks that every heading in docs/rationale is a question, that no question
// occurs twice, and that the answers are short.
func TestAnswersAreShort(t *testing.T) {
	asked := make(map[string]string)
	list := read(t, "docs/rationale/README.md")
	for _, document := range documents(t) {
		if filepath.Dir(document) != "docs/rationale" || filepath.Base(document) == "README.md" {
			continue
		}
		require.Contains(t, list, "("+filepath.Base(document)+")",
			"docs/rationale/README.md does not list it")
		question, answer := "", 0
		for _, l := range linesOf(t, document) {
			switch {
			case strings.HasPrefix(l.text, "### "):
				question, answer = strings.TrimPrefix(l.text, "### "), 0
				require.True(t, strings.HasSuffix(question, "?"), "%s:%d: %s", document, l.number,
					question)
				require.Empty(t, asked[question], "%s:%d: %s", document, l.number, question)
				asked[question] = document
			case strings.HasPrefix(l.text, "#"):
				question = ""
			case question != "" && strings.TrimSpace(l.text) != "":
				answer++
				require.LessOrEqual(t, answer, answerLines,
					"%s:%d: the answer to %q is too long: split the question", document, l.number,
					question)
			}
		}
	}
	require.Greater(t, len(asked), 150)
}

// TestLinksResolve follows every relative link in every document, including its anchor.
func TestLinksResolve(t *testing.T) {
	followed := 0
	for _, document := range documents(t) {
		for _, target := range linksOf(t, document) {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			at := document
			if file != "" {
				at = filepath.Join(filepath.Dir(document), file)
				_, err := os.Stat(filepath.Join(repository, at))
				require.NoError(t, err, "%s links to %s", document, target)
			}
			if anchor != "" && strings.HasSuffix(at, ".md") {
				require.Contains(t, anchorsOf(t, at), anchor, "%s links to %s", document, target)
			}
			followed++
		}
	}
	require.Greater(t, followed, 100)
}

func TestAnchorsMatchGitHub(t *testing.T) {
	require.Equal(t, "why-does-wasmctl-ask-kubewardens-registry",
		anchor("Why does `wasmctl` ask [Kubewarden's](x.md) registry?"))
	require.Equal(t, "a--b_c", anchor("A – b_c"))
}

// fragments is a directory whose files `make generate` assembles into a document elsewhere. Their
// links are relative to that document.
const fragments = "gendoc"

// documents returns the paths of all Markdown files in the repository.
func documents(t *testing.T) (all []string) {
	t.Helper()
	require.NoError(t,
		filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
			name := entry.Name()
			switch {
			case err != nil:
				return err
			case entry.IsDir() && path != repository &&
				(strings.HasPrefix(name, ".") || name == "bin" || name == "dist" ||
					name == "testdata" || name == "node_modules" || name == fragments):
				return filepath.SkipDir
			case strings.HasSuffix(name, ".md"):
				relative, err := filepath.Rel(repository, path)
				all = append(all, filepath.ToSlash(relative))
				return err
			}
			return nil
		}))
	return all
}

func read(t *testing.T, document string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, document))
	require.NoError(t, err)
	return string(text)
}

func linesOf(t *testing.T, document string) (all []line) {
	t.Helper()
	code := false
	number := 0
	for text := range strings.Lines(read(t, document)) {
		number++
		text = strings.TrimRight(text, "\n")
		fence := strings.HasPrefix(strings.TrimSpace(text), "```")
		all = append(all, line{text, number, code || fence})
		if fence {
			code = !code
		}
	}
	return all
}

func linksOf(t *testing.T, document string) (targets []string) {
	t.Helper()
	for _, l := range linesOf(t, document) {
		if !l.code {
			for _, match := range link.FindAllStringSubmatch(l.text, -1) {
				targets = append(targets, match[1])
			}
		}
	}
	return targets
}

func anchorsOf(t *testing.T, document string) map[string]bool {
	t.Helper()
	anchors := make(map[string]bool)
	for _, l := range linesOf(t, document) {
		if match := heading.FindStringSubmatch(l.text); match != nil && !l.code {
			anchors[anchor(match[1])] = true
		}
	}
	return anchors
}

// anchor returns the anchor that GitHub creates for a heading.
func anchor(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(markup.ReplaceAllString(text, "$1")))
}
