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

// Command arm64 builds the tests of all processor-dependent packages for arm64, and runs them under
// qemu-aarch64. Then it compares compiled with interpreted code: for a given time, it generates
// modules and runs them both ways. Run it from the root of the repository. On arm64 itself, it does
// not use qemu.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// packages are the packages whose tests run.
var packages = []string{
	"./internal/wasm", "./pkg/engine/...", "./pkg/abi/...", "./pkg/capabilities/...", "./test/spec",
}

var (
	minutes = flag.Float64("minutes", 2,
		"CPU time for generated modules, in minutes; 0 skips them")
	seed     = flag.Uint64("seed", 1, "the seed of the first generated module")
	onlyThem = flag.Bool("only-generated", false, "skip the tests")
)

func main() {
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	emulator, err := findEmulator()
	if err != nil {
		return err
	}
	if !*onlyThem {
		if err := runTests(ctx, emulator); err != nil {
			return err
		}
	}
	if *minutes <= 0 {
		return nil
	}
	return runGenerated(ctx, emulator)
}

// findEmulator returns the program that runs arm64 binaries. It is empty on arm64.
func findEmulator() (string, error) {
	if runtime.GOARCH == "arm64" {
		return "", nil
	}
	for _, name := range []string{"qemu-aarch64", "qemu-aarch64-static"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf(
		"qemu-aarch64 is missing: install it (Debian and Ubuntu: apt-get install qemu-user; Fedora: dnf install qemu-user)")
}

// goCommand returns a command of the Go toolchain that builds for arm64.
func goCommand(ctx context.Context, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "go", arguments...)
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	c.Stderr = os.Stderr
	return c
}

// runTests runs the packages' tests, and prints failed and skipped tests.
func runTests(ctx context.Context, emulator string) error {
	arguments := []string{"test", "-json", "-count=1", "-timeout=60m"}
	if emulator != "" {
		arguments = append(arguments, "-exec", emulator)
	}
	fmt.Println("building and running the tests for arm64: 6 to 10 minutes on two cores")
	c := goCommand(ctx, append(arguments, packages...)...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	t := newTally(os.Stdout)
	readErr := t.read(out)
	err = c.Wait()
	t.print()
	switch {
	case readErr != nil:
		return readErr
	case err != nil:
		return fmt.Errorf("tests failed on arm64: %w", err)
	}
	return nil
}

// runGenerated compares generated modules, compiled and interpreted, in a child process. The child
// measures its own CPU time, and exits when the time is over. On a signal it prints its figures and
// exits at once.
func runGenerated(ctx context.Context, emulator string) error {
	folder, err := os.MkdirTemp("", "arm64-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "rewrite.test")
	if err := goCommand(ctx, "test", "-c", "-o", binary, "./pkg/engine/internal/rewrite").
		Run(); err != nil {
		return fmt.Errorf("building the test of generated modules: %w", err)
	}
	command := []string{
		binary, "-test.run=^TestCompilerAgainstInterpreter$", "-test.timeout=0",
		"-differential=" + time.Duration(*minutes*float64(time.Minute)).String(),
		"-differential-seed=" + strconv.FormatUint(*seed, 10),
	}
	if emulator != "" {
		command = append([]string{emulator}, command...)
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = filepath.Join("pkg", "engine", "internal", "rewrite")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	// A terminal would send the signal to both processes. The child has its own process group, so
	// that only this process signals it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	if err := c.Run(); err != nil &&
		(ctx.Err() == nil || c.ProcessState == nil || !c.ProcessState.Success()) {
		return fmt.Errorf("generated modules on arm64: %w", err)
	}
	return nil
}

func printTotals(passed, failed, skipped int) {
	fmt.Printf("figure arm64_tests_passed %d count\n", passed)
	fmt.Printf("figure arm64_tests_failed %d count\n", failed)
	fmt.Printf("figure arm64_tests_skipped %d count\n", skipped)
}
