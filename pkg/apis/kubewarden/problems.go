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

package kubewarden

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// maxProblems bounds how many problems are listed.
	maxProblems = 100
	// maxProblemLength is the length to which the text of a problem is cut, in bytes.
	maxProblemLength = 2048
)

// problems collects problems, one line each, and bounds their number.
type problems struct {
	lines []error
	more  int
}

// add adds the problems that an error consists of. They concern the object.
func (p *problems) add(object string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			p.add(object, err)
		}
		return
	}
	if len(p.lines) == maxProblems {
		p.more++
		return
	}
	if text := err.Error(); len(text) > maxProblemLength {
		err = errors.New(strings.ToValidUTF8(text[:maxProblemLength], "") + "…")
	}
	p.lines = append(p.lines, fmt.Errorf("%s: %w", object, err))
}

func (p *problems) err() error {
	lines := p.lines
	if p.more > 0 {
		lines = append(lines, fmt.Errorf("… and %d more problems", p.more))
	}
	return errors.Join(lines...)
}
