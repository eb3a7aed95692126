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

package groupexpression

import (
	"regexp"
	"slices"
)

var nameFormat = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// reserved are the reserved words of CEL (language specification, syntax).
var reserved = []string{
	"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
	"let", "loop",
	"namespace", "null", "package", "return", "true", "var", "void", "while",
}

// IsMemberName reports whether an expression can call a member by this name: the name must be a CEL
// identifier that is not a reserved word.
func IsMemberName(name string) bool {
	return isName(name) && !slices.Contains(reserved, name)
}

func isName(name string) bool { return nameFormat.MatchString(name) }
