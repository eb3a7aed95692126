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

// raised finds what an error of the server's says to raise.
var raised = regexp.MustCompile(`raise (limits\.[A-Za-z]+)`)

// limitSettings are the settings of a server that commands have flags for.
var limitSettings = map[string]string{
	"limits.moduleSize": "module-size", "limits.memory": "memory", "limits.stack": "stack", "limits.fuel": "fuel",
	"limits.evaluationTimeout": "timeout",
}

// withFlags has what is to be raised in a server's configuration be raised by a command's flags,
// where it has them.
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

// warnOfLimit says how to raise the limit that a response tells of in a server's words.
func (c *command) warnOfLimit(message string) {
	if message == verdict.DeadlineExceeded { // the sentence is kwctl's, and names no setting
		c.warn("the evaluation's time was up: " + withFlags(c.flags, "raise limits.evaluationTimeout"))
	} else if remedy := raised.FindString(message); remedy != "" {
		c.warn("the policy came to a limit: " + withFlags(c.flags, remedy))
	}
}
