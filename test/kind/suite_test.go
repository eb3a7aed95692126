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

package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// leastCases is the number of cases that must pass for the test to be meaningful.
const leastCases = 25

// inside is the environment variable that is set when the test runs inside bootstrap/docker.sh. It
// names the file to write the tally to.
const inside = "KIND_TALLY"

var enabled = flag.Bool("kind", false, "create clusters with kind, which takes many minutes and needs root")

// nodeImage is the image that bootstrap/node.sh builds: a node with a plain Kubernetes.
var nodeImage string

// tally counts cases.
type tally struct {
	Passed        int
	Failed        []string
	ControlPlanes int
}

// run runs a case, counts it, and reports whether it passed.
func (y *tally) run(t *testing.T, name string, run func(*testing.T)) bool {
	t.Helper()
	passed := false
	t.Run(name, func(t *testing.T) {
		defer func() { passed = !t.Failed() && !t.Skipped() }()
		run(t)
	})
	if passed {
		y.Passed++
	} else {
		y.Failed = append(y.Failed, name)
	}
	return passed
}

// TestKind runs the cases of TestClusters with a private Docker, and checks that nothing is left
// behind.
func TestKind(t *testing.T) {
	if !*enabled {
		t.Skip("takes many minutes: run make e2e-kind")
	}
	require.Zero(t, os.Geteuid(), "namespaces and Docker need root")
	before := lookAtMachine(t)

	file := filepath.Join(t.TempDir(), "tally.json")
	command := exec.Command(filepath.Join(root(t), "test/kind/bootstrap/docker.sh"),
		os.Args[0], "-kind", "-test.v", "-test.run=^TestClusters$", "-test.timeout=0")
	command.Env = append(os.Environ(), inside+"="+file)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	failure := command.Run()

	var counted tally
	if text, err := os.ReadFile(file); err == nil {
		require.NoError(t, json.Unmarshal(text, &counted))
	}
	counted.run(t, "NothingIsLeftBehind", func(t *testing.T) {
		before.requireEqual(t, lookAtMachine(t))
	})
	figure.Print("kind_control_planes", float64(counted.ControlPlanes), "1")
	figure.Print("kind_cases_passed", float64(counted.Passed), "1")
	figure.Print("kind_cases_failed", float64(len(counted.Failed)), "1")
	require.NoError(t, failure)
	require.Empty(t, counted.Failed)
	require.GreaterOrEqual(t, counted.Passed, leastCases)
}

// TestClusters is the part of TestKind that runs next to Docker.
func TestClusters(t *testing.T) {
	file := os.Getenv(inside)
	if file == "" {
		t.Skip("run by TestKind")
	}
	output := strings.Fields(must(t, filepath.Join(root(t), "test/kind/bootstrap/node.sh")))
	nodeImage = output[len(output)-1]
	counted := &tally{}
	defer func() {
		text, err := json.Marshal(counted)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, text, 0o600))
	}()
	for _, shape := range []struct {
		name string
		run  func(*testing.T, *tally)
	}{
		{"OneNode", oneNode},
		{"ThreeControlPlanes", threeControlPlanes},
	} {
		t.Run(shape.name, func(t *testing.T) { shape.run(t, counted) })
	}
}

// root returns the directory of the repository.
func root(t *testing.T) string {
	t.Helper()
	directory, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return directory
}

// command runs a command and returns its output. Cleanups use it too, when the test's context has
// already ended.
func command(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, arguments...)
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	err := c.Run()
	return output.String(), err
}

// must runs a command that must succeed, and returns its output.
func must(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	output, err := command(t, name, arguments...)
	require.NoError(t, err, "%s %q: %s", name, arguments, output)
	return output
}
