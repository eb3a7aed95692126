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

// Package servers shows what the apiservers of a cluster report about their policies.
package servers

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// Write writes a table, which needs a tabwriter, and the problems below it.
func Write(w io.Writer, t *status.Table) {
	fmt.Fprintln(w, "SERVER\tADDRESS\tSTATE\tRUNNING\tDESIRED\tSINCE\tPOLICIES\tVERSION\tRENEWED")
	for n := range t.Servers {
		s := &t.Servers[n]
		renewed := (time.Duration(s.SecondsUnchanged) * time.Second).String() + " ago"
		if s.Report == nil {
			fmt.Fprintf(w, "%s\t-\t%s\t-\t-\t-\t-\t-\t%s\n", oneLine(s.Name()), s.State, renewed)
			continue
		}
		r := s.Report
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", oneLine(s.Name()),
			oneLine(r.Address), s.State, oneLine(status.Short(r.Running)),
			oneLine(status.Short(r.Desired)), r.Since.UTC().Format(time.RFC3339), r.PolicyCount,
			oneLine(r.Version), renewed)
	}
}

// oneLine returns a server's text as a part of a line.
func oneLine(text string) string {
	return strings.NewReplacer("\n", "�", "\t", "�").Replace(terminal.Plain(text))
}

// Problems returns a line for each problem. The table shows the webhook servers in a namespace, or
// the apiservers if webhooks is empty.
func Problems(t *status.Table, webhooks string) (lines []string) {
	if len(t.Servers) == 0 {
		return []string{"unknown: " + nobody(webhooks)}
	}
	if t.Skew != "" {
		lines = append(lines, "skew: "+t.Skew)
	}
	for n := range t.Servers {
		s := &t.Servers[n]
		name := oneLine(s.Name())
		if s.Reason != "" {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", s.State, name, oneLine(s.Reason)))
		}
		if s.Report == nil {
			continue
		}
		for _, failure := range s.Report.Failures {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", s.State, name, oneLine(failure)))
		}
		if more := s.Report.FailureCount - len(s.Report.Failures); more > 0 {
			lines = append(lines,
				fmt.Sprintf("%s: %s: and %d more, see its log", s.State, name, more))
		}
	}
	return lines
}

// nobody returns the message that no server reports its status, with hints.
func nobody(webhooks string) string {
	if webhooks == "" {
		return "no apiserver reports its status: enable the feature gate WasmAdmission, or see its log for why it cannot write a Lease"
	}
	return fmt.Sprintf(
		"no webhook server reports its status in namespace %q: name the namespace of their Service or their --status-namespace, or see their logs for why they cannot write a Lease",
		webhooks)
}
