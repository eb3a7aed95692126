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

// mappedBytes returns what the linear memories of all instances take of the system's memory for
// themselves. They are the mappings of the process that the kernel is told not to back with huge
// pages, which Go's runtime does for none of its own. Pages of an image that were read and not
// written are no part of it: they are those of the image's file, however many map them, and are
// counted with the image. While one instance alone maps a page the kernel calls it private, but
// not anonymous.
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
		return 0,
			errors.New(
				"the kernel does not show which mappings are linear memories: it has no huge pages")
	}
	return sum, nil
}
