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

// Command gendoc writes docs/wasmctl.md to its standard output. It combines a hand-written part
// with the help of the commands.
package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/markdown"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

var (
	//go:embed head.md
	head string
	//go:embed tail.md
	tail string
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gendoc:", err)
		os.Exit(1)
	}
}

// write writes the document.
func write(w io.Writer) error {
	root := cli.New("wasmctl",
		&terminal.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	var b strings.Builder
	b.WriteString(head)
	markdown.Commands(&b, root)
	b.WriteString(tail)
	_, err := io.WriteString(w, b.String())
	return err
}
