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

package validation

import (
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fileScheme begins the one kind of module URI that this version serves.
const fileScheme = "file://"

// validateModule checks the URI of a module. The path of a file URI is taken as it
// stands, so that there is one way to write a path and nothing to decode.
func validateModule(uri string, fldPath *field.Path) field.ErrorList {
	const example = "file:///etc/kubernetes/wasm-admission/policy.wasm"
	if uri == "" {
		return field.ErrorList{field.Required(fldPath, "a policy needs a module: write its URI, such as "+example)}
	}
	if detail := moduleProblem(uri); detail != "" {
		return field.ErrorList{field.Invalid(fldPath, uri, detail)}
	}
	if len(uri)-len(fileScheme) > maxPathLength {
		return field.ErrorList{field.TooLong(fldPath, uri, len(fileScheme)+maxPathLength)}
	}
	return nil
}

// moduleProblem says what is wrong with the URI of a module, "" when nothing is.
func moduleProblem(uri string) string {
	const remedy = "write file:// and the absolute path of the module"
	scheme, rest, found := strings.Cut(uri, "://")
	switch {
	case !found && strings.HasPrefix(uri, "file:"):
		return `lacks "//" after file: ` + remedy
	case !found:
		return "has no scheme: " + remedy
	case scheme == "registry":
		return "modules from registries are not supported yet: pull the module into a file and " + remedy
	case scheme == "https" || scheme == "http":
		return fmt.Sprintf("modules from %s servers are not supported yet: download the module into a file and %s", scheme, remedy)
	case scheme != "file":
		return fmt.Sprintf("has the unknown scheme %q: %s", scheme, remedy)
	case rest == "" || rest == "/":
		return "names no file: " + remedy
	case rest[0] == '.' || !strings.Contains(rest, "/"):
		return "holds a relative path, and there is no directory that it could start from: " + remedy
	case rest[0] != '/':
		host, _, _ := strings.Cut(rest, "/")
		return fmt.Sprintf("names the host %q, and only files of this machine can be read: %s, which begins with /", host, remedy)
	}
	return modulePathProblem(rest)
}

func modulePathProblem(file string) string {
	switch i := strings.IndexAny(file, "?#%"); {
	case i >= 0 && file[i] == '?':
		return "has a query, which means nothing for a file: remove it, or rename a file that has ? in its name"
	case i >= 0 && file[i] == '#':
		return "has a fragment, which means nothing for a file: remove it, or rename a file that has # in its name"
	case i >= 0:
		return "holds %, and paths are not percent-encoded: write the path as it is, or rename a file that has % in its name"
	case path.Clean(file) != file:
		return "does not hold a clean path: write " + fileScheme + path.Clean(file)
	case hasControlCharacter(file):
		return "holds a control character: rename the file"
	}
	return ""
}
