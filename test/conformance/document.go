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

// Document returns docs/compatibility.md.
func Document(parts []Part) string {
	var b strings.Builder
	b.WriteString(`# Compatibility with Kubewarden

What Kubewarden's own tests demand of a host, and where this repository shows it.
Written by ` + "`make generate`" + ` from test/conformance/testdata; ` + "`make conformance`" + ` runs it.
`)
	for _, part := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n| Test of Kubewarden's | What must hold | Status | Shown by |\n|---|---|---|---|\n", part.Title)
		for _, item := range part.Items {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(item.Upstream), cell(item.Holds), cell(item.status()), cell(item.evidence()))
		}
	}
	return b.String()
}

func (i Item) status() string {
	switch {
	case i.Fails != "":
		return "fails: " + i.Fails
	case i.Shown == ByNone:
		return "not applicable or not shown: " + i.Reason
	case i.Differs != "" && i.Rationale != "":
		return "holds, but differs on purpose: " + i.Differs + " (RATIONALE: " + i.Rationale + ")"
	case i.Differs != "":
		return "holds, but differs on purpose: " + i.Differs
	default:
		return "holds"
	}
}

func (i Item) evidence() string {
	if i.Run != nil {
		return "`wasmctl " + strings.Join(i.Run.Args, " ") + "`"
	}
	var tests []string
	for _, test := range i.Tests {
		tests = append(tests, test.Package+": "+strings.Join(test.Names, ", "))
	}
	return strings.Join(tests, "; ")
}

// cell keeps bars from ending a cell of a table.
func cell(s string) string {
	return strings.ReplaceAll(s, "|", `\|`)
}
