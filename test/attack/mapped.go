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
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// mappedBytes returns the private memory of all instances' linear memories. Linear memories are the
// mappings for which huge pages are disabled, which Go's runtime does for none of its own mappings.
// Pages of an image that were only read do not count: they belong to the image's file, however many
// instances map them, and the engine counts them with the image. If only one instance maps such a
// page, the kernel reports it as private, but not as anonymous.
func mappedBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	var sum, here int64
	found := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch name {
		case "Size":
			here = 0
		case "Anonymous", "Swap":
			var kib int64
			if _, err := fmt.Sscan(value, &kib); err != nil {
				return 0, fmt.Errorf("%s: %w", lines.Text(), err)
			}
			here += kib << 10
		case "VmFlags":
			if strings.Contains(value+" ", " nh ") {
				sum, found = sum+here, true
			}
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if !found {
		return 0, errors.New(
			"cannot find the linear memories among the mappings: the kernel does not support huge pages")
	}
	return sum, nil
}
