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

// Package conformance contains a checklist of the behaviors that Kubewarden's own tests require of
// a host. Each item says what must hold, and how this repository shows it: with wasmctl, with the
// plugin in a real kube-apiserver, or with tests of packages. The tests run the checklist.
// docs/compatibility.md is generated from it.
package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Part is a part of the checklist.
type Part struct {
	// Title is the title of the part's table.
	Title string `json:"title"`
	// Tests are Kubewarden's tests, in the order of the table.
	Tests []Upstream `json:"tests"`
}

// Upstream is one of Kubewarden's tests, or a group of them.
type Upstream struct {
	// Name is Kubewarden's name of the test.
	Name string `json:"name"`
	// Behaviours is the number of behaviors that the test requires. There is at least one item for
	// each.
	Behaviours int `json:"behaviours"`
	// Items are the behaviors.
	Items []Item `json:"items"`
}

// Item is a required behavior. At least one of Wasmctl, Server and Tests shows it, and all of them
// must pass. Otherwise, Reason says why the behavior is not required here.
type Item struct {
	// ID identifies the item. It is a DNS label, and unique in the checklist.
	ID string `json:"id"`
	// Holds is a sentence that says what must hold.
	Holds string `json:"holds"`
	// Differs says how the behavior intentionally differs from Kubewarden's.
	Differs string `json:"differs,omitempty"`
	// Rationale is the question in docs/rationale that explains the difference.
	Rationale string `json:"rationale,omitempty"`
	// page is the file in docs/rationale that contains the question.
	page string
	// Refused says what is not supported. The evidence then shows that it is refused with an
	// explanation.
	Refused string `json:"refused,omitempty"`
	// Wasmctl shows the item with the command line.
	Wasmctl *Wasmctl `json:"wasmctl,omitempty"`
	// Server shows the item with the plugin in a kube-apiserver.
	Server *Server `json:"server,omitempty"`
	// Tests are Go tests that show the item. All must pass.
	Tests []Test `json:"tests,omitempty"`
	// Reason is why the item does not apply.
	Reason string `json:"reason,omitempty"`
}

// Test names Go tests in a package.
type Test struct {
	// Package is the package's directory in the repository.
	Package string `json:"package"`
	// Names are the names of test functions or of subtests.
	Names []string `json:"names"`
}

// Load reads the checklist below root, the root of the repository, and validates it. It reports all
// problems at once.
func Load(root string) ([]Part, error) {
	files, err := filepath.Glob(filepath.Join(root, "test/conformance/testdata/*.yaml"))
	if err != nil {
		return nil, err
	}
	questions, err := readQuestions(filepath.Join(root, "docs/rationale"))
	if err != nil {
		return nil, err
	}
	c := checker{root: root, ids: map[string]bool{}, questions: questions}
	if c.webhook, err = os.ReadFile(filepath.Join(root, "docs/webhook.md")); err != nil {
		return nil, err
	}
	var parts []Part
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		part, err := c.part(data)
		if err != nil {
			c.problems = append(c.problems, fmt.Errorf("%s: %w", file, err))
		}
		parts = append(parts, part)
	}
	return parts, errors.Join(c.problems...)
}

// readQuestions returns the file that contains each question in docs/rationale.
func readQuestions(directory string) (map[string]string, error) {
	pages, err := filepath.Glob(filepath.Join(directory, "*.md"))
	if err != nil {
		return nil, err
	}
	questions := make(map[string]string)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if question, ok := strings.CutPrefix(line, "### "); ok {
				questions[strings.TrimSpace(question)] = filepath.Base(page)
			}
		}
	}
	return questions, nil
}

// checker validates a checklist.
type checker struct {
	root      string
	questions map[string]string
	// webhook is the content of docs/webhook.md.
	webhook  []byte
	ids      map[string]bool
	problems []error
}

// part decodes and validates a part of the checklist.
func (c *checker) part(data []byte) (part Part, err error) {
	if err := yaml.UnmarshalStrict(data, &part); err != nil {
		return part, err
	}
	var problems []error
	for _, test := range part.Tests {
		if test.Name == "" || test.Behaviours < 1 || len(test.Items) < test.Behaviours {
			problems = append(problems,
				fmt.Errorf("test %q: a name is required, and an item for each of %d behaviors",
					test.Name, test.Behaviours))
		}
		for i := range test.Items {
			item := &test.Items[i]
			if err := c.item(item); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", item.ID, err))
			}
		}
	}
	return part, errors.Join(problems...)
}

var isLabel = regexp.MustCompile("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")

func (c *checker) item(i *Item) error {
	switch {
	case !isLabel.MatchString(i.ID):
		return fmt.Errorf("the id %q is not a DNS label", i.ID)
	case c.ids[i.ID]:
		return errors.New("duplicate id")
	case i.Holds == "":
		return errors.New("holds is required")
	case i.Rationale != "" && c.questions[i.Rationale] == "":
		return fmt.Errorf("docs/rationale has no question %q", i.Rationale)
	}
	i.page = c.questions[i.Rationale]
	c.ids[i.ID] = true
	return c.evidence(i)
}

// evidence checks that something shows the item and can fail.
func (c *checker) evidence(i *Item) error {
	shown := i.Wasmctl != nil || i.Server != nil || len(i.Tests) > 0
	if shown == (i.Reason != "") {
		return errors.New("either wasmctl, server or tests, or a reason is required")
	}
	if i.Wasmctl != nil {
		if err := i.Wasmctl.validate(); err != nil {
			return fmt.Errorf("wasmctl: %w", err)
		}
	}
	if i.Server != nil {
		if err := i.Server.validate(); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		if row := i.Server.InProcess; row != "" &&
			!bytes.Contains(c.webhook, []byte("\n| "+row+" |")) {
			return fmt.Errorf("server: docs/webhook.md has no row %q", row)
		}
	}
	for _, test := range i.Tests {
		if err := test.validate(c.root); err != nil {
			return err
		}
	}
	return nil
}
