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

// Command with links the plugin and signature verification, with a trust root loaded.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	_ "github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm" // linked to be measured
	"github.com/wasm-admission/wasm-admission/test/bench/linking/idle"
)

func main() {
	root, err := sigstore.OpenPublicGood(sigstore.PublicGoodOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Verify once, so that the linker keeps all of the code, and the libraries initialize their
	// tables.
	var checker verification.Checker = sigstore.New(root.Current)
	artifact := verification.Artifact{Digest: "sha256:" + strings.Repeat("0", 64)}
	if _, err := checker.Keyless(context.Background(),
		&verification.Candidate{Bundle: []byte("{}")}, artifact); err == nil {
		fmt.Fprintln(os.Stderr, "an empty bundle was accepted")
		os.Exit(1)
	}
	idle.Print()
	runtime.KeepAlive(checker)
}
