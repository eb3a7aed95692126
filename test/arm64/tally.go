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

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of the output of go test -json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// test identifies a test, or a package if name is empty.
type test struct{ pkg, name string }

// tally counts the results of tests.
type tally struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[test][]string
	reasons                 []string
}

func newTally(out io.Writer) *tally { return &tally{out: out, output: map[test][]string{}} }

// read reads events until the end of r.
func (t *tally) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// The line is not an event, but output of the toolchain.
			_, _ = fmt.Fprintln(t.out, lines.Text())
			continue
		}
		t.event(&e)
	}
	return lines.Err()
}

func (t *tally) event(e *event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		t.output[key] = append(t.output[key], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	output := t.output[key]
	delete(t.output, key)
	if e.Test == "" {
		_, _ = fmt.Fprintf(t.out, "%s %s %.0f s\n", e.Action, e.Package, e.Elapsed)
		if e.Action == "fail" {
			_, _ = fmt.Fprint(t.out, strings.Join(output, ""))
		}
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		_, _ = fmt.Fprintf(t.out, "failed: %s %s\n%s", e.Package, e.Test, strings.Join(output, ""))
	case "skip":
		t.skipped++
		t.reasons = append(t.reasons, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(output)))
	}
}

// reason returns why a test was skipped, according to its output.
func reason(output []string) string {
	for _, line := range output {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "=== ") &&
			!strings.HasPrefix(line, "--- ") {
			return line
		}
	}
	return "no reason given"
}

// print prints the skipped tests with their reasons, and the totals.
func (t *tally) print() {
	for _, reason := range t.reasons {
		_, _ = fmt.Fprintln(t.out, "skipped:", reason)
	}
	printTotals(t.passed, t.failed, t.skipped)
}
