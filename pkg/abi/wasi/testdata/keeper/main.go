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

// Command keeper is a WASI command that tries to keep state from one run to the next in every place
// that a Go program has. It prints the state that it finds, and ends as its input tells it.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

var (
	runs    int
	float   = 1.5
	text    = "fresh"
	entries = map[string]int{"start": 1}
	list    []*int
	spare   [1 << 16]byte
	started = make(chan int, 4)
)

func init() {
	// A waiting goroutine is also state.
	go func() {
		for n := range started {
			entries["goroutine"] += n
		}
	}()
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d %g %s %d %d %d", runs, float, text, len(entries), len(list), spare[len(spare)-1])
	runs++
	float *= 2
	text = strings.Repeat("used", 100)
	for n := range 10_000 {
		entries[fmt.Sprint(n)] = n
		list = append(list, &n)
	}
	spare[len(spare)-1] = 1
	started <- 1
	switch string(input) {
	case "exit":
		os.Exit(1)
	case "panic":
		panic("on purpose")
	case "spin":
		for {
			runs++
		}
	case "grow":
		var hoard [][]byte
		for {
			hoard = append(hoard, make([]byte, 1<<20))
		}
	}
}
