//go:build !linux

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

package figure

import (
	"errors"
	"fmt"
	"time"
)

// ProcessorTimeOf returns the processor time that a process has used so far. It is only supported
// on Linux.
func ProcessorTimeOf(pid int) (time.Duration, error) {
	return 0, fmt.Errorf("reading the processor time of process %d: %w", pid, errors.ErrUnsupported)
}
