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
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// goTests are the Go tests that passed, as package and name.
type goTests map[string]bool

// show returns an error for each test that did not pass.
func (g goTests) show(tests []Test) error {
	for _, test := range tests {
		for _, name := range test.Names {
			if !g[test.Package+" "+strings.ReplaceAll(name, " ", "_")] {
				return fmt.Errorf("%s: %s has not passed", test.Package, name)
			}
		}
	}
	return nil
}

var passLine = regexp.MustCompile(`(?m)^ *--- PASS: (\S+) \(`)

// runTests runs every test that an item names, package by package. A skipped test has not passed.
func runTests(ctx context.Context, parts []Part, log func(format string, args ...any)) goTests {
	functions := map[string][]string{}
	for _, part := range parts {
		for _, upstream := range part.Tests {
			for _, item := range upstream.Items {
				for _, test := range item.Tests {
					for _, name := range test.Names {
						function, _, _ := strings.Cut(name, "/")
						functions[test.Package] = append(functions[test.Package], function)
					}
				}
			}
		}
	}
	passed := goTests{}
	for _, pkg := range slices.Sorted(maps.Keys(functions)) {
		names := functions[pkg]
		slices.Sort(names)
		pattern := "^(" + strings.Join(slices.Compact(names), "|") + ")$"
		command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout=20m", "-run",
			pattern, ".")
		command.Dir = filepath.Join(root, pkg)
		out, err := command.CombinedOutput()
		if err != nil {
			log("%s: %v\n%s", pkg, err, out)
		}
		for _, match := range passLine.FindAllSubmatch(out, -1) {
			passed[pkg+" "+string(match[1])] = true
		}
	}
	return passed
}
