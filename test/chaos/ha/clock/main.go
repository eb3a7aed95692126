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

// Command clock writes an overlay for go build that shifts a program's wall clock by the number of
// seconds in the environment variable TEST_CLOCK_OFFSET.
//
// Neither a time namespace nor a preloaded library can shift the wall clock of a static Go program.
// So the overlay changes time.Now itself, in a copy of the standard library's file. The monotonic
// clock, which timers and durations use, does not change. The overlay is only for servers in tests,
// never for releases.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// reading is the line with which time.Now reads the clock. It must occur only once in time.go.
const reading = "\tsec, nsec, mono := runtimeNow()\n"

// offsetFile is added to package time.
const offsetFile = `package time

import "syscall"

// testClockOffset is added to the wall clock, in seconds.
var testClockOffset = readTestClockOffset()

func readTestClockOffset() int64 {
	text, found := syscall.Getenv("TEST_CLOCK_OFFSET")
	if !found {
		return 0
	}
	seconds, err := atoi(text)
	if err != nil {
		panic("TEST_CLOCK_OFFSET is not a number of seconds")
	}
	return int64(seconds)
}
`

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: clock GOROOT DIRECTORY\n\nwrites DIRECTORY/overlay.json")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "clock:", err)
		os.Exit(1)
	}
}

// write writes the overlay and the files that it names. They are the same on every run, so that the
// build cache stays valid.
func write(goroot, directory string) error {
	directory, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	source := filepath.Join(goroot, "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), reading); n != 1 {
		return fmt.Errorf(
			"%s reads the clock in %d places instead of one: the overlay does not support this version of Go",
			source, n)
	}
	shifted := filepath.Join(directory, "time.go")
	added := filepath.Join(directory, "offset.go")
	overlay, err := json.MarshalIndent(map[string]map[string]string{"Replace": {
		source: shifted,
		filepath.Join(filepath.Dir(source), "test_clock_offset.go"): added,
	}}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	for path, content := range map[string]string{
		shifted: strings.Replace(string(text), reading,
			reading+"\tsec += testClockOffset\n", 1),
		added:                                    offsetFile,
		filepath.Join(directory, "overlay.json"): string(overlay) + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
