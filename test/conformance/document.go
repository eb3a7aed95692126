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

package conformance

import (
	"fmt"
	"strings"
)

// Results are the errors of items that do not hold, keyed by ID.
type Results map[string]error

// texts lists permanent differences from kwctl in the text of responses.
const texts = `
## Texts that differ and stay so

If you compare the responses of both line by line, you find these differences. Only the last one changes verdicts.

* A list that Rego's ` + "`sprintf`" + ` prints reads ` + "`[\"a\"]`" + `, as in the Open Policy Agent; Kubewarden prints ` + "`[a]`" + `.
* The code of an internal error may differ: compare the text, not the code.
* ` + "`units.parse`" + ` works, as in the Open Policy Agent. Kubewarden does not have it,
  so a policy that calls it does not run there.
`

// Document returns docs/compatibility.md. Items without an error hold.
func Document(parts []Part, results Results) string {
	var b strings.Builder
	b.WriteString(`# Compatibility with Kubewarden

This page lists every behavior that Kubewarden's own tests require of a host, and how it is tested here: with ` + "`wasmctl`" + `
instead of ` + "`kwctl`" + `, with the plugin in a real kube-apiserver instead of policy-server, and with tests of packages for
behaviors that neither shows. ` + "`make generate`" + ` writes this page from test/conformance/testdata, which defines what is run
and what is expected. ` + "`make conformance`" + ` runs all of it.

`)
	b.WriteString(summary(parts, results))
	b.WriteString(differences(parts))
	b.WriteString(texts)
	for _, part := range parts {
		fmt.Fprintf(&b,
			"\n## %s\n\n| Kubewarden test | What must hold | Does it? | wasmctl | kube-apiserver | Tests |\n|---|---|---|---|---|---|\n",
			part.Title)
		for _, test := range part.Tests {
			for _, item := range test.Items {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(test.Name),
					cell(item.Holds), cell(item.status(results)),
					mark(item.Wasmctl != nil), mark(item.Server != nil), cell(item.names()))
			}
		}
	}
	return b.String()
}

// count is the number of items of each kind.
type count struct {
	tests, behaviours, items, hold, differ, refused, fail, out, byWasmctl, byServer, byBoth int
}

func tally(parts []Part, results Results) (c count) {
	for _, part := range parts {
		for _, test := range part.Tests {
			c.tests++
			c.behaviours += test.Behaviours
			for _, item := range test.Items {
				c.add(&item, results[item.ID] != nil)
			}
		}
	}
	return c
}

func (c *count) add(item *Item, failed bool) {
	c.items++
	switch {
	case item.Reason != "":
		c.out++
	case failed:
		c.fail++
	case item.Refused != "":
		c.refused++
	case item.Differs != "":
		c.differ++
	default:
		c.hold++
	}
	if item.Wasmctl != nil {
		c.byWasmctl++
	}
	if item.Server != nil {
		c.byServer++
	}
	if item.Wasmctl != nil && item.Server != nil {
		c.byBoth++
	}
}

func summary(parts []Part, results Results) string {
	var b strings.Builder
	b.WriteString(
		`For each of Kubewarden's tests, the checklist names the required behaviors, each as one or more items. An item holds as
in Kubewarden, differs on purpose, is refused because this version does not support it (the refusal is tested too), or
does not apply for a stated reason.

| Part | Behaviors | Items | Hold | Differ | Are refused | Fail | Do not apply |
|---|---|---|---|---|---|---|---|
`)
	for _, part := range parts {
		b.WriteString(tally([]Part{part}, results).row(part.Title))
	}
	all := tally(parts, results)
	b.WriteString(all.row("All"))
	fmt.Fprintf(&b,
		"\n%d items are tested with wasmctl and %d with a kube-apiserver, %d of them with both.\n",
		all.byWasmctl, all.byServer, all.byBoth)
	return b.String()
}

func (c count) row(title string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d |\n", title, c.behaviours, c.items,
		c.hold, c.differ, c.refused, c.fail, c.out)
}

// differences lists the items that do not hold as in Kubewarden, with the reasons.
func differences(parts []Part) string {
	differ, refused, out := remarks{}, remarks{}, remarks{}
	for _, part := range parts {
		for _, test := range part.Tests {
			for _, item := range test.Items {
				switch {
				case item.Reason != "":
					out.add(item.Reason, test.Name, item.Holds)
				case item.Refused != "":
					refused.add(item.Refused, test.Name, item.Holds)
				case item.Differs != "":
					differ.add(item.difference(), test.Name, item.Holds)
				}
			}
		}
	}
	return "\n## What differs on purpose\n\n" + differ.String() +
		"\n## What is refused\n\n" + refused.String() +
		"\n## What does not apply\n\n" + out.String()
}

// remarks are texts in order of appearance, each with the items that it applies to.
type remarks struct {
	texts []string
	about map[string][]string
}

func (r *remarks) add(text, test, holds string) {
	if r.about == nil {
		r.about = map[string][]string{}
	}
	if r.about[text] == nil {
		r.texts = append(r.texts, text)
	}
	r.about[text] = append(r.about[text], wrap("  * ", test+": "+holds))
}

// String returns the remarks as a Markdown list.
func (r *remarks) String() string {
	var b strings.Builder
	for _, text := range r.texts {
		b.WriteString(wrap("* ", text+".") + strings.Join(r.about[text], ""))
	}
	return b.String()
}

// width is the maximum width of lines, if words allow it.
const width = 120

// wrap returns a list entry, wrapped to the maximum width.
func wrap(bullet, text string) string {
	var b strings.Builder
	line := bullet
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(bullet)) + word
		default:
			line += " " + word
		}
	}
	return b.String() + line + "\n"
}

func (i *Item) difference() string {
	if i.Rationale == "" {
		return i.Differs
	}
	return i.Differs + " ([" + i.Rationale + "](rationale/" + i.page + "#" + anchor(i.Rationale) +
		"))"
}

// anchor returns the anchor of a heading.
func anchor(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(heading))
	return kept
}

func (i *Item) status(results Results) string {
	switch {
	case i.Reason != "":
		return "does not apply: " + i.Reason
	case results[i.ID] != nil:
		return "fails"
	case i.Refused != "":
		return "refused: " + i.Refused
	case i.Differs != "":
		return "yes, but " + i.Differs
	default:
		return "yes"
	}
}

// names returns the names of the Go tests that show the item.
func (i *Item) names() string {
	var tests []string
	for _, test := range i.Tests {
		tests = append(tests, test.Package+": "+strings.Join(test.Names, ", "))
	}
	return strings.Join(tests, "; ")
}

func mark(b bool) string {
	if b {
		return "✓"
	}
	return ""
}

// cell escapes bars and newlines, which would end a table cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
