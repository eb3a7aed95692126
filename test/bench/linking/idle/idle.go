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

// Package idle prints the memory of an idle process.
package idle

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// Print frees as much memory as possible, and prints the resident memory of this process in bytes.
func Print() {
	debug.FreeOSMemory()
	size, err := resident()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(size)
}

// resident returns the exact size. /proc/self/statm may be off by a few hundred pages.
func resident() (int, error) {
	content, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if size, found := strings.CutPrefix(line, "Rss:"); found {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(size, "kB")))
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/self/smaps_rollup has no Rss")
}
