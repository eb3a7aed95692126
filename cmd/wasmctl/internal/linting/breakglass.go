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

package linting

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/breakglass"
)

const (
	breakGlassKind = "BreakGlass"
	// maxUnknownNames bounds the reported names that no policy has.
	maxUnknownNames = 20
)

// breakGlassAlone checks a break-glass file that was named instead of a configuration.
func (l *linter) breakGlassAlone(options Options) {
	l.report.BreakGlass, l.file = true, options.Path
	if options.PolicyDirectory != "" {
		l.fail(
			errors.New("is a break-glass file, which is checked alone: omit the policy directory"))
		return
	}
	path, err := filepath.Abs(options.Path)
	if err == nil {
		_, err = breakglass.Read(path, time.Now())
	}
	l.fail(err)
}

// breakGlass checks the break-glass file of the configuration. Its content does not keep a server
// from starting.
func (l *linter) breakGlass() {
	path := l.config.BreakGlassFile
	if path == "" {
		return
	}
	order, err := breakglass.Read(path, time.Now())
	switch {
	case errors.Is(err, fs.ErrNotExist): // the usual case
	case err != nil:
		for _, line := range linesOf(err) {
			l.warnOfBreakGlass("would not be obeyed: " + line)
		}
	case l.report.Hash != "":
		l.checkNames(order.Policies)
	}
}

// checkNames warns of names that no policy has.
func (l *linter) checkNames(names []string) {
	if names[0] == wasmadmission.EveryPolicy {
		return
	}
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(l.report.Policies, func(p Policy) bool { return p.Name == name })
	})
	more := max(len(unknown)-maxUnknownNames, 0)
	for _, name := range unknown[:len(unknown)-more] {
		l.warnOfBreakGlass(fmt.Sprintf("policies[%d]: no policy is called %q: %s",
			slices.Index(names, name), name, breakglass.NameRemedy))
	}
	if more > 0 {
		l.warnOfBreakGlass(fmt.Sprintf("policies: %d more names are those of no policy", more))
	}
	if len(unknown) == len(names) {
		l.warnOfBreakGlass("would not be obeyed: policies: none of the names is that of a policy")
	}
}

func (l *linter) warnOfBreakGlass(text string) {
	l.report.Warnings = append(l.report.Warnings,
		fmt.Sprintf("breakGlassFile: %s: %s", l.config.BreakGlassFile, text))
}
