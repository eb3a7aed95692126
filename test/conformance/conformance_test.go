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
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	whole = flag.Bool("conformance", false,
		"also run items that need a server and the Go tests, and print figures")
	server = flag.Bool("server", false, "also run items that need a server")
	shell  = flag.String("shell", "plugin", "what evaluates the servers' policies: plugin or webhook")
	update = flag.Bool("update", false, "write docs/compatibility.md")
)

func TestDocumentIsCurrent(t *testing.T) {
	parts, err := Load(root)
	require.NoError(t, err)
	if *update {
		writeDocument(t, parts, nil)
	}
	document, err := os.ReadFile(filepath.Join(root, "docs/compatibility.md"))
	require.NoError(t, err)
	require.Equal(t, Document(parts, nil), string(document),
		"run make generate, and fix what fails")
}

func writeDocument(t *testing.T, parts []Part, results Results) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(root, "docs/compatibility.md"), []byte(Document(parts, results)), 0o644)) //nolint:gosec // a document
}

// TestConformance runs the checklist. Without flags, it only runs the items that wasmctl shows,
// which needs no server and little time.
func TestConformance(t *testing.T) {
	parts, err := Load(root)
	require.NoError(t, err)
	require.Contains(t, []string{"plugin", "webhook"}, *shell)
	byWebhook := *shell == "webhook"
	r := runner{results: notRun(parts)}
	if !byWebhook {
		r.outside = newSurroundings(t)
	}
	if *whole || *server {
		r.cluster = newCluster(t, parts, byWebhook)
	}
	if *whole && !byWebhook {
		r.packages = runTests(t.Context(), parts, t.Logf)
	}
	t.Run("items", func(t *testing.T) {
		for _, part := range parts {
			for _, test := range part.Tests {
				for _, item := range test.Items {
					t.Run(item.ID, func(t *testing.T) { r.run(t, item) })
				}
			}
		}
	})
	if r.cluster != nil {
		fmt.Printf(
			"figure conformance_%s_shown %d count\nfigure conformance_%s_failed %d count\nfigure conformance_%s_not_applicable %d count\n",
			*shell, r.cluster.shown.Load(), *shell, r.cluster.failed.Load(), *shell,
			r.cluster.left.Load())
	}
	if *whole && !byWebhook {
		writeDocument(t, parts, r.results)
		c := tally(parts, r.results)
		fmt.Printf(
			"figure conformance_checklist %d count\nfigure conformance_passed %d count\nfigure conformance_failed %d count\nfigure conformance_refused %d count\nfigure conformance_not_applicable %d count\n",
			c.behaviours, c.hold+c.differ+c.refused, c.fail, c.refused, c.out)
	}
}

// runner runs all evidence of items.
type runner struct {
	outside  *surroundings
	cluster  *cluster // nil without a server
	packages goTests  // nil if no Go tests were run

	mu      sync.Mutex
	results Results // of items that failed
}

// notRun returns results in which no item has been run.
func notRun(parts []Part) Results {
	results := Results{}
	for _, part := range parts {
		for _, test := range part.Tests {
			for _, item := range test.Items {
				if item.Reason == "" {
					results[item.ID] = errors.New("not run")
				}
			}
		}
	}
	return results
}

func (r *runner) run(t *testing.T, item Item) {
	if item.Reason != "" {
		t.Skip(item.Reason)
	}
	t.Cleanup(func() { // servers report failures of tests themselves
		if !t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.results, item.ID)
		}
	})
	byWebhook := r.cluster != nil && r.cluster.byWebhook
	if item.Wasmctl != nil && !item.Wasmctl.proxied() && !byWebhook {
		t.Parallel()
	}
	if item.Wasmctl != nil && !byWebhook {
		if err := item.Wasmctl.show(t.Context(), r.outside, t.TempDir()); err != nil {
			t.Errorf("wasmctl: %v", err)
		}
	}
	if item.Server != nil && r.cluster != nil {
		if err := r.cluster.count(t, item); err != nil {
			t.Errorf("server: %v", err)
		}
	}
	if len(item.Tests) > 0 && r.packages != nil {
		if err := r.packages.show(item.Tests); err != nil {
			t.Error(err)
		}
	}
}

// proxied reports whether the item checks requests to the proxy.
func (w *Wasmctl) proxied() bool {
	for _, step := range w.Steps {
		if step.Proxied != nil {
			return true
		}
	}
	return false
}
