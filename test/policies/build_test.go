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

package policies_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
)

var (
	// builtDir is the directory with the Go guests that TestMain builds.
	builtDir string
	// compiled keeps compiled modules between tests.
	compiled = wazero.NewCompilationCache()
)

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if builtDir, err = os.MkdirTemp("", "policies"); err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, compiled.Close(context.Background()), os.RemoveAll(builtDir))
	}()

	annotate := filepath.Join(builtDir, "annotate")
	if err := run(exec.Command("go", "-C", filepath.Join("..", ".."), "build", "-o", annotate,
		"./cmd/wasmctl/internal/annotate/command")); err != nil {
		return 0, err
	}
	for _, name := range slices.Concat(goGuests, goPrograms) {
		file := filepath.Join(builtDir, name+".wasm")
		// Use the flags of the Makefile.
		mode := "c-shared"
		if slices.Contains(goPrograms, name) {
			mode = "default"
		}
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
			"-buildmode="+mode, "-o", file, "./"+name)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if err := run(build); err != nil {
			return 0, err
		}
		metadata := filepath.Join(name, "metadata.yml")
		if err := run(exec.Command(annotate, "-metadata", metadata, "-in", file, "-out",
			file)); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return nil
}
