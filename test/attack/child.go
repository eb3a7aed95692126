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
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const childArgument = "compile-in-child"

// Limits for a child. They are above the bounds for accepted modules, so that a module that exceeds
// its bounds is measured and does no harm.
const (
	childSeconds   = 600
	childDataBytes = 12 << 30
)

// use holds the resources that a child used.
type use struct {
	CPU time.Duration
	// RSS is the child's peak resident memory, in bytes.
	RSS int64
}

// rewritten returns a module as an engine compiles it.
func rewritten(binary []byte) (*enginetest.Rewritten, error) {
	return enginetest.Rewrite(binary, enginetest.Options{
		TickModule: "wasm-admission", TickName: "tick", ExportPrefix: "wasm-admission.",
		MemoryMaxPages: wasm.MaxMemoryPages, AdoptMemory: true,
		TableMaxEntries: engine.DefaultLimits.TableEntries,
		ExtractData:     true, ExportStart: true, LowerReferences: true,
	})
}

// compileInChild compiles the module in a file, and prints the resources that this process used.
func compileInChild(file string) error {
	for resource, limit := range map[int]uint64{
		syscall.RLIMIT_CPU:  childSeconds,
		syscall.RLIMIT_DATA: childDataBytes,
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	binary, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before := figure.ProcessorTime()
	result, err := rewritten(binary)
	if err != nil {
		return err
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(wasm.MaxMemoryPages).
			WithDebugInfoEnabled(false))
	if _, err := r.CompileModule(ctx, result.Module); err != nil {
		return err
	}
	cpu := figure.ProcessorTime() - before
	rss, err := mostMemory()
	if err != nil {
		return err
	}
	runtime.KeepAlive(binary)
	return json.NewEncoder(os.Stdout).Encode(use{CPU: cpu, RSS: rss})
}

// mostMemory returns the peak resident memory of this process, in bytes. getrusage would include
// the parent's memory.
func mostMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kib := int64(0); strings.HasPrefix(line, "VmHWM:") {
			_, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}

// inChild compiles a module in a child process.
func inChild(ctx context.Context, directory string, binary []byte) (u use, err error) {
	file := filepath.Join(directory, "module.wasm")
	if err := os.WriteFile(file, binary, 0o600); err != nil {
		return u, err
	}
	self, err := os.Executable()
	if err != nil {
		return u, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*childSeconds*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, self, childArgument, file)
	output, err := command.Output()
	if err != nil {
		text := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			text = string(exit.Stderr)
		}
		return u, fmt.Errorf("child failed: %w: %.500s", err, text)
	}
	return u, json.Unmarshal(output, &u)
}
