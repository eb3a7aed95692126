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

// Command linking measures what it costs a process with the plugin to link signature verification
// and to load a trust root.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// runs is the number of runs of each program. The median counts.
const runs = 9

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure() error {
	directory, err := os.MkdirTemp("", "linking-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // in the system's temporary directory
	withoutSize, withoutMemory, err := program(directory, "without")
	if err != nil {
		return err
	}
	withSize, withMemory, err := program(directory, "with")
	if err != nil {
		return err
	}
	const mib = 1 << 20
	figure.Print("plugin_rss_mib", float64(withMemory)/mib, "MiB")
	figure.Print("plugin_rss_added_mib", float64(withMemory-withoutMemory)/mib, "MiB")
	figure.Print("plugin_binary_mib", float64(withSize)/mib, "MiB")
	figure.Print("plugin_binary_added_mib", float64(withSize-withoutSize)/mib, "MiB")
	return nil
}

// program builds and runs a program, and returns its size and its memory.
func program(directory, name string) (size, memory int64, err error) {
	binary := filepath.Join(directory, name)
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary,
		"./test/bench/linking/"+name)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 0, 0, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return 0, 0, err
	}
	var samples []int64
	for range runs {
		output, err := exec.Command(binary).Output()
		if err != nil {
			return 0, 0, err
		}
		sample, err := strconv.ParseInt(strings.TrimSpace(string(output)), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		samples = append(samples, sample)
	}
	slices.Sort(samples)
	return info.Size(), samples[runs/2], nil
}
