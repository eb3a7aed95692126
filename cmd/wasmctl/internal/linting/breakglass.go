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
	// maxUnknownNames bounds the names that are told because no policy has them.
	maxUnknownNames = 20
)

// breakGlassAlone looks at a break-glass file that was named instead of a configuration.
func (l *linter) breakGlassAlone(options Options) {
	l.report.BreakGlass, l.file = true, options.Path
	if options.PolicyDirectory != "" {
		l.fail(errors.New("is a break-glass file, which is looked at alone: leave out the policy directory"))
		return
	}
	path, err := filepath.Abs(options.Path)
	if err == nil {
		_, err = breakglass.Read(path, time.Now())
	}
	l.fail(err)
}

// breakGlass looks at the break-glass file that the configuration names. A server starts
// whatever is in it.
func (l *linter) breakGlass() {
	path := l.config.BreakGlassFile
	if path == "" {
		return
	}
	order, err := breakglass.Read(path, time.Now())
	switch {
	case errors.Is(err, fs.ErrNotExist): // as most of the time
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
		l.warnOfBreakGlass(fmt.Sprintf("policies[%d]: no policy is called %q: %s", slices.Index(names, name), name, breakglass.NameRemedy))
	}
	if more > 0 {
		l.warnOfBreakGlass(fmt.Sprintf("policies: %d more names are those of no policy", more))
	}
	if len(unknown) == len(names) {
		l.warnOfBreakGlass("would not be obeyed: policies: none of the names is that of a policy")
	}
}

func (l *linter) warnOfBreakGlass(text string) {
	l.report.Warnings = append(l.report.Warnings, fmt.Sprintf("breakGlassFile: %s: %s", l.config.BreakGlassFile, text))
}
