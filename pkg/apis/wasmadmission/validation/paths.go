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
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// maxPathLength is the length of the longest path that Linux accepts (PATH_MAX), in bytes.
const maxPathLength = 4096

// validatePaths checks the paths other than those of modules and certificates, each on its own and
// against the others.
func validatePaths(config *wasmadmission.WasmAdmissionConfiguration) field.ErrorList {
	policies := field.NewPath("policyDirectory")
	errs := validateDirectory(config.PolicyDirectory, "/etc/kubernetes/wasm-admission/policies.d",
		policies)
	errs = append(errs,
		validateDirectory(config.StateDirectory, "/var/lib/kubernetes/wasm-admission",
			field.NewPath("stateDirectory"))...)
	if config.PolicyDirectory != "" && config.PolicyDirectory == config.StateDirectory {
		errs = append(errs, field.Invalid(policies, config.PolicyDirectory,
			"is the state directory too: give manifests a directory of their own"))
	}
	for _, file := range []struct {
		path    string
		fldPath *field.Path
	}{
		{config.BreakGlassFile, field.NewPath("breakGlassFile")},
		{config.Sources.DockerConfig, field.NewPath("sources", "dockerConfig")},
		{config.Sources.Layout, field.NewPath("sources", "layout")},
	} {
		if file.path == "" {
			continue
		}
		problems := validateFile(file.path, file.fldPath)
		if len(problems) == 0 && path.Dir(file.path) == config.PolicyDirectory {
			problems = append(problems, field.Invalid(file.fldPath, file.path,
				"is in the policy directory, whose files are read as manifests: put it elsewhere"))
		}
		errs = append(errs, problems...)
	}
	return errs
}

// validateDirectory checks the path of a directory. "" means none.
func validateDirectory(directory, example string, fldPath *field.Path) field.ErrorList {
	switch directory {
	case "":
		return nil
	case "/":
		return field.ErrorList{
			field.Invalid(fldPath, directory,
				"is the root directory: write a separate directory, such as "+example),
		}
	}
	return validatePath(directory, "directory", fldPath)
}

func validateFile(file string, fldPath *field.Path) field.ErrorList {
	if file == "" || file == "/" {
		return field.ErrorList{
			field.Invalid(fldPath, file, "names no file: write the absolute path of a file"),
		}
	}
	return validatePath(file, "file", fldPath)
}

// validatePath checks that a path is absolute and clean. Then there is only one way to write it,
// and it does not depend on a working directory.
func validatePath(name, kind string, fldPath *field.Path) field.ErrorList {
	switch {
	case !path.IsAbs(name):
		return field.ErrorList{
			field.Invalid(fldPath, name, "is a relative path: write the absolute path of a "+kind),
		}
	case path.Clean(name) != name:
		return field.ErrorList{
			field.Invalid(fldPath, name, "is not a clean path: write "+path.Clean(name)),
		}
	case len(name) > maxPathLength:
		return field.ErrorList{field.TooLong(fldPath, name, maxPathLength)}
	case hasControlCharacter(name):
		return field.ErrorList{
			field.Invalid(fldPath, name, "contains a control character: write a path without one"),
		}
	}
	return nil
}

func hasControlCharacter(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
