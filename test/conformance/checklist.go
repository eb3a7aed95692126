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

// Package conformance holds the checklist of what Kubewarden's own tests demand
// of a host, as data: what must hold, and where this repository shows it. The
// tests run the checklist; docs/compatibility.md is its table.
package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"sigs.k8s.io/yaml"
)

// Where an item is shown.
const (
	// ByWasmctl says that the item's command line shows it.
	ByWasmctl = "wasmctl"
	// ByServer says that the item's tests show it on a real kube-apiserver.
	ByServer = "server"
	// ByGo says that the item's tests of packages show it.
	ByGo = "go"
	// ByNone says that nothing shows it, for the item's reason.
	ByNone = "none"
)

// Part is a part of the checklist.
type Part struct {
	// Title is that of the part's table.
	Title string `json:"title"`
	// Items are the part's rows, in the order of the table.
	Items []Item `json:"items"`
}

// Item is what a test of Kubewarden's demands.
type Item struct {
	// ID names the item; it is unique in the checklist.
	ID string `json:"id"`
	// Upstream is the name of Kubewarden's test.
	Upstream string `json:"upstream"`
	// Holds says in a sentence what must hold.
	Holds string `json:"holds"`
	// Shown is one of ByWasmctl, ByServer, ByGo and ByNone.
	Shown string `json:"shown"`
	// Reason is why nothing shows the item.
	Reason string `json:"reason,omitempty"`
	// Differs says how the answer differs from Kubewarden's on purpose.
	Differs string `json:"differs,omitempty"`
	// Rationale is the heading in docs/RATIONALE.md that argues for the difference.
	Rationale string `json:"rationale,omitempty"`
	// Fails says what does not hold. Such an item counts as failed and is not run.
	Fails string `json:"fails,omitempty"`
	// Tests are Go tests that show the item, all of them.
	Tests []Test `json:"tests,omitempty"`
	// Run is the command that shows the item.
	Run *Run `json:"run,omitempty"`
}

// Test names Go tests of a package.
type Test struct {
	// Package is the package's directory in the repository.
	Package string `json:"package"`
	// Names are those of functions in it.
	Names []string `json:"names"`
}

// Run is an invocation of wasmctl in the directory test.
type Run struct {
	// Args are the arguments.
	Args []string `json:"args"`
	// ExitCode is the one that is expected.
	ExitCode int `json:"exitCode"`
	// Values are what the answer has at JSON paths such as {.status.code}, as
	// text; a path that the answer lacks is the empty text.
	Values map[string]string `json:"values,omitempty"`
	// Output are texts that the two outputs together have.
	Output []string `json:"output,omitempty"`
}

// Load reads the checklist below root, the repository's directory, and checks that it is well-formed.
func Load(root string) ([]Part, error) {
	files, err := filepath.Glob(filepath.Join(root, "test/conformance/testdata/*.yaml"))
	if err != nil {
		return nil, err
	}
	rationale, err := os.ReadFile(filepath.Join(root, "docs/RATIONALE.md"))
	if err != nil {
		return nil, err
	}
	var parts []Part
	var problems []error
	ids := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var part Part
		if err := yaml.UnmarshalStrict(data, &part); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, item := range part.Items {
			if ids[item.ID] {
				problems = append(problems, fmt.Errorf("%s: %q is there twice", file, item.ID))
			}
			ids[item.ID] = true
			if item.Rationale != "" && !bytes.Contains(rationale, []byte("# "+item.Rationale+"\n")) {
				problems = append(problems, fmt.Errorf("%s: %s: docs/RATIONALE.md has no heading %q", file, item.ID, item.Rationale))
			}
			if err := item.check(root); err != nil {
				problems = append(problems, fmt.Errorf("%s: %s: %w", file, item.ID, err))
			}
		}
		parts = append(parts, part)
	}
	return parts, errors.Join(problems...)
}

func (i Item) check(root string) error {
	if i.ID == "" || i.Upstream == "" || i.Holds == "" {
		return errors.New("id, upstream and holds are required")
	}
	switch i.Shown {
	case ByWasmctl:
		if i.Run == nil || len(i.Run.Args) == 0 || len(i.Run.Values)+len(i.Run.Output) == 0 {
			return errors.New("run with args and with values or output is required")
		}
	case ByServer, ByGo:
		if len(i.Tests) == 0 {
			return errors.New("tests are required")
		}
	case ByNone:
		if (i.Reason == "") == (i.Fails == "") {
			return errors.New("either reason or fails is required")
		}
	default:
		return fmt.Errorf("shown is %q", i.Shown)
	}
	for _, test := range i.Tests {
		if err := test.check(root); err != nil {
			return err
		}
	}
	return nil
}

// check makes sure that the tests exist.
func (t Test) check(root string) error {
	files, err := filepath.Glob(filepath.Join(root, t.Package, "*_test.go"))
	if err != nil {
		return err
	}
	var source []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		source = append(source, data...)
	}
	for _, name := range t.Names {
		if !regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`).Match(source) {
			return fmt.Errorf("%s has no test %s", t.Package, name)
		}
	}
	if len(t.Names) == 0 {
		return fmt.Errorf("%s: names are required", t.Package)
	}
	return nil
}
