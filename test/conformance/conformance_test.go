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

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/jsonpath"
)

const root = "../.."

var (
	whole  = flag.Bool("conformance", false, "run the Go tests that items name too, and count")
	update = flag.Bool("update", false, "write docs/compatibility.md")
)

func TestDocumentIsCurrent(t *testing.T) {
	parts, err := Load(root)
	require.NoError(t, err)
	file := filepath.Join(root, "docs/compatibility.md")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(Document(parts)), 0o644)) //nolint:gosec // a document
	}
	document, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, Document(parts), string(document), "run make generate")
}

func TestConformance(t *testing.T) {
	parts, err := Load(root)
	require.NoError(t, err)
	wasmctl := filepath.Join(t.TempDir(), "wasmctl")
	out, err := exec.Command("go", "build", "-o", wasmctl, root+"/cmd/wasmctl").CombinedOutput()
	require.NoError(t, err, "%s", out)
	results := sync.OnceValue(func() map[string]bool { return runTests(t, parts) })

	var passed, failed atomic.Int64
	limit := make(chan struct{}, 2)
	t.Run("items", func(t *testing.T) {
		for _, part := range parts {
			for _, item := range part.Items {
				t.Run(item.ID, func(t *testing.T) {
					if item.Shown == ByNone && item.Fails == "" {
						t.Skip(item.Reason)
					}
					if item.Run == nil && item.Fails == "" && !*whole {
						return // that the tests exist is known
					}
					t.Cleanup(func() {
						if t.Failed() || item.Fails != "" {
							failed.Add(1)
						} else {
							passed.Add(1)
						}
					})
					switch {
					case item.Fails != "":
						if *whole {
							t.Error(item.Fails)
						}
					case item.Run != nil:
						t.Parallel()
						limit <- struct{}{}
						defer func() { <-limit }()
						item.Run.check(t, wasmctl)
					default:
						for _, test := range item.Tests {
							for _, name := range test.Names {
								require.True(t, results()[test.Package+" "+name], "%s: %s has not passed", test.Package, name)
							}
						}
					}
				})
			}
		}
	})
	if *whole {
		fmt.Printf("conformance_passed %d\nconformance_failed %d\n", passed.Load(), failed.Load())
	}
}

func (r *Run) check(t *testing.T, wasmctl string) {
	command := exec.CommandContext(t.Context(), wasmctl, r.Args...)
	command.Dir = filepath.Join(root, "test")
	command.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "KUBECONFIG=/dev/null")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	all := stdout.String() + stderr.String()
	require.Equal(t, r.ExitCode, command.ProcessState.ExitCode(), all)
	for _, text := range r.Output {
		require.Contains(t, all, text)
	}
	if len(r.Values) == 0 {
		return
	}
	var answer any
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &answer), all)
	for path, want := range r.Values {
		parser := jsonpath.New(path).AllowMissingKeys(true)
		require.NoError(t, parser.Parse(path))
		var got strings.Builder
		require.NoError(t, parser.Execute(&got, answer))
		require.Equal(t, want, got.String(), "%s of %s", path, all)
	}
}

var passLine = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)

// runTests runs every test that an item names once, package by package, and
// returns those that passed. One that is skipped has not passed.
func runTests(t *testing.T, parts []Part) map[string]bool {
	names := map[string][]string{}
	for _, part := range parts {
		for _, item := range part.Items {
			for _, test := range item.Tests {
				names[test.Package] = append(names[test.Package], test.Names...)
			}
		}
	}
	passed := map[string]bool{}
	for pkg, tests := range names {
		slices.Sort(tests)
		pattern := "^(" + strings.Join(slices.Compact(tests), "|") + ")$"
		command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-timeout=20m", "-run", pattern, ".")
		command.Dir = filepath.Join(root, pkg)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Logf("%s: %v\n%s", pkg, err, out)
		}
		for _, match := range passLine.FindAllSubmatch(out, -1) {
			passed[pkg+" "+string(match[1])] = true
		}
	}
	return passed
}
