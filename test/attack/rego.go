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

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// attackRego calls every built-in function of Rego with the largest accepted arguments, in a child
// process with a memory limit. The child runs a test, because only the test can see the functions'
// prices.
func attackRego(ctx context.Context) error {
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run",
		"^TestCallsTakeLittleMemory$", "./pkg/abi/rego/topdown")
	output, err := test.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output[max(0, len(output)-4000):])
	}
	figures := 0
	for line := range bytes.Lines(output) {
		if strings.HasPrefix(string(line), "figure ") {
			fmt.Print(string(line))
			figures++
		}
	}
	if figures != 2 {
		return fmt.Errorf("got %d figures, expected 2: %s", figures, output)
	}
	return nil
}
