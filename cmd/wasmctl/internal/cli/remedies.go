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

package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// raised matches the limit that a server's error asks to raise.
var raised = regexp.MustCompile(`raise (limits\.[A-Za-z]+)`)

// limitSettings maps a server's settings to the flags of commands.
var limitSettings = map[string]string{
	"limits.moduleSize": "module-size", "limits.memory": "memory", "limits.stack": "stack",
	"limits.fuel":              "fuel",
	"limits.evaluationTimeout": "timeout",
}

// withFlags rewrites remedies in a server's terms: it names the command's flags instead of
// settings, where there are such flags.
func withFlags(flags *pflag.FlagSet, text string) string {
	return raised.ReplaceAllStringFunc(text, func(remedy string) string {
		setting := strings.TrimPrefix(remedy, "raise ")
		flag := limitSettings[setting]
		one, file := flag != "" && flags.Lookup(flag) != nil, flags.Lookup("limits") != nil
		switch {
		case one && file:
			return "raise --" + flag + ", or " + setting + " in the file of --limits"
		case one:
			return "raise --" + flag
		case file:
			return remedy + " in the file of --limits"
		}
		return remedy
	})
}

// warnOfLimit says how to raise a limit if a response reports that it was exceeded.
func (c *command) warnOfLimit(message string) {
	if message == verdict.DeadlineExceeded { // kwctl's sentence names no setting
		c.warn("the evaluation exceeded its time limit: " +
			withFlags(c.flags, "raise limits.evaluationTimeout"))
	} else if remedy := raised.FindString(message); remedy != "" {
		c.warn("the policy reached a limit: " + withFlags(c.flags, remedy))
	}
}
