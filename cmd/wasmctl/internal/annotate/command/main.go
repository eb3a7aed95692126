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

// Command annotate adds metadata to the repository's guests when they are built. It works like
// `wasmctl annotate`, but without asking the guest, because some guests fail at the start on
// purpose. It links no code that evaluates policies.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/annotate"
)

func main() {
	metadata := flag.String("metadata", "", "YAML `file` with the metadata")
	in := flag.String("in", "", "module to read")
	out := flag.String("out", "", "module to write; may be the one that is read")
	flag.Parse()
	if *metadata == "" || *in == "" || *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*metadata, *in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "annotate:", err)
		os.Exit(1)
	}
}

func run(metadataFile, in, out string) error {
	text, err := os.ReadFile(metadataFile)
	if err != nil {
		return err
	}
	metadata, err := annotate.ParseMetadata(text)
	if err != nil {
		return fmt.Errorf("%s: %w", metadataFile, err)
	}
	module, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	annotated, err := metadata.Module(module)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, annotated, 0o644)
}
