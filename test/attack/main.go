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

// Command attack attacks the code that reads input from guests, registries and API users. It stays
// within the limits on input, and prints the worst results, one line for each figure.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// section is one campaign. It fails if a figure exceeds its bound.
type section struct {
	name string
	run  func(ctx context.Context) error
}

var sections = []section{
	{"compile", attackCompiler},
	{"rego", attackRego},
	{"answers", attackAnswers},
	{"heap", heap},
	{"deadlines", deadlines},
	{"reloads", reloads},
}

func main() {
	engine.ServeCompilations()
	if len(os.Args) == 3 && os.Args[1] == childArgument {
		if err := compileInChild(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "only run these sections, separated by commas")
	flag.Parse()
	failed := false
	for _, s := range sections {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		if err := s.run(context.Background()); err != nil {
			fmt.Fprintf(os.Stderr, "attack: %s: %v\n", s.name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
