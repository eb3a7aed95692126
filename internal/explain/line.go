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

package explain

import (
	"errors"
	"fmt"
	"strings"
)

// InOneLine joins an error with a line for each problem into one line with numbers. A log has one
// line for each entry, and kubectl quotes the message of a health check, which turns line breaks
// into "\n". The text before the first problem stays in front. An error of one line is returned
// unchanged. InOneLine returns nil for nil.
func InOneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	// A wrapping error ends with the text of the problems, after its own text.
	list := err
	for inner := errors.Unwrap(list); inner != nil &&
		strings.HasSuffix(list.Error(), inner.Error()); inner = errors.Unwrap(inner) {
		if !strings.Contains(inner.Error(), "\n") {
			break
		}
		list = inner
	}
	head := strings.ReplaceAll(strings.TrimSuffix(err.Error(), list.Error()), "\n", " ")
	var problems []string
	for problem := range strings.Lines(list.Error()) {
		if problem = strings.TrimSpace(problem); problem != "" {
			problems = append(problems, fmt.Sprintf("(%d) %s", len(problems)+1, problem))
		}
	}
	return &line{
		fmt.Sprintf("%s%d problems: %s", head, len(problems), strings.Join(problems, "; ")),
		err,
	}
}

// line is an error with another text.
type line struct {
	text string
	err  error
}

func (l *line) Error() string { return l.text }

func (l *line) Unwrap() error { return l.err }
