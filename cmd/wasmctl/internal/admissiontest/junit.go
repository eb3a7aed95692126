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

package admissiontest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The format of JUnit's Ant task for continuous integration, as far as its readers agree on it.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results as XML, with a suite for each file.
func WriteJUnit(w io.Writer, results []Result) error {
	var all junitSuites
	var took time.Duration
	for n := range results {
		r := &results[n]
		if len(all.Suites) == 0 || all.Suites[len(all.Suites)-1].Name != r.File {
			all.Suites, took = append(all.Suites, junitSuite{Name: r.File}), 0
		}
		suite := &all.Suites[len(all.Suites)-1]
		c := junitCase{Name: r.Case.Name, Class: r.File, Time: seconds(r.Duration)}
		switch {
		case r.Err != nil:
			suite.Errors++
			c.Error = problem(r.Err.Error())
		case len(r.Failures) > 0:
			suite.Failures++
			c.Failure = problem(strings.Join(r.Failures, "\n"))
		}
		took += r.Duration
		suite.Tests, suite.Time = suite.Tests+1, seconds(took)
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func problem(text string) *junitProblem {
	first, _, _ := strings.Cut(text, "\n")
	return &junitProblem{Message: first, Text: text}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
