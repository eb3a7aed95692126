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
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// startError marks a failure that occurred after the flags were parsed and logging was set up.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// refusal lists the problems of the WasmAdmission configuration. Its Error has one problem per
// line, like the plugin's errors.
type refusal struct{ problems []string }

func (e *refusal) Error() string { return strings.Join(e.problems, "\n") }

// reportFailure writes to w why the command failed.
//
// Each problem of the WasmAdmission configuration gets its own line, beginning with
// "kube-apiserver: WasmAdmission: ". Upstream would quote them all in one unreadable line of the
// log. All other errors are reported as upstream does: plainly while flags are parsed, and through
// the log afterwards.
func reportFailure(w io.Writer, err error) {
	if problems := wasmProblems(err); len(problems) > 0 {
		for _, problem := range problems {
			fmt.Fprintf(w, "kube-apiserver: %s: %s\n", wasm.PluginName, problem)
		}
		return
	}
	if start := (*startError)(nil); errors.As(err, &start) {
		klog.ErrorS(err, "command failed")
		klog.Flush()
		return
	}
	fmt.Fprintf(w, "Error: %v\n", err)
}

// wasmProblems returns the lines of an error that comes from WasmAdmission, or nil for any other
// error.
func wasmProblems(err error) []string {
	text := ""
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		text = refused.Error()
	} else {
		// admission.Plugins names the plugin whose factory or validation failed, but formats the
		// cause with %v, so only its text remains.
		_, text, _ = strings.Cut(err.Error(), fmt.Sprintf("admission plugin %q: ", wasm.PluginName))
	}
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
