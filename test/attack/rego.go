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

// attackRego has every built-in function of Rego called with the largest arguments that are
// not refused, in a child process under a limit on its memory: see the test, which knows
// the functions' prices.
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
		return fmt.Errorf("%d figures, 2 are expected: %s", figures, output)
	}
	return nil
}
