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

package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// validate checks that the test functions exist. It cannot check names of subtests, which are only
// known when the tests run.
func (t Test) validate(root string) error {
	files, err := filepath.Glob(filepath.Join(root, t.Package, "*_test.go"))
	if err != nil {
		return err
	}
	var source []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		source = append(source, data...)
	}
	for _, name := range t.Names {
		function, _, _ := strings.Cut(name, "/")
		if !regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(function) + `\(`).Match(source) {
			return fmt.Errorf("%s has no test %s", t.Package, function)
		}
	}
	if len(t.Names) == 0 {
		return fmt.Errorf("%s: names are required", t.Package)
	}
	return nil
}
