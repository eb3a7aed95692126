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

package chaos

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// requireTried waits until a complying object is denied with a reason, by a policy that only
// matches objects with the label.
func (c *cluster) requireTried(t *testing.T, label, reason string) {
	t.Helper()
	hammer.Eventually(t, "refused: "+reason, func() error {
		err := c.comply(t.Context(), hammer.ConfigMap("", "team", "red", "try", label))
		if err == nil || !strings.Contains(err.Error(), reason) {
			return fmt.Errorf("the response was: %w", err)
		}
		return nil
	})
}

// requireAdmitted waits until a complying object with the label is admitted.
func (c *cluster) requireAdmitted(t *testing.T, label string) {
	t.Helper()
	hammer.Eventually(t, "admitted: try="+label, func() error {
		return c.comply(t.Context(), hammer.ConfigMap("", "team", "red", "try", label))
	})
}

// alwaysTrap adds policies that trap on every request. The one with failurePolicy Ignore gets the
// same requests as the enforcing policies. The one with failurePolicy Fail only gets objects with
// its label.
func alwaysTrap(t *testing.T, c *cluster) {
	c.place(t, "trap.wasm", "trap")
	c.start(t, configuration{policies: `
- name: trap-ignore
  module: file://MODULES/trap.wasm
  failurePolicy: Ignore
- name: trap-fail
  module: file://MODULES/trap.wasm
  failurePolicy: Fail
  objectSelector: {matchLabels: {try: trap-fail}}
`})
	c.requireControl(t)
	c.requireTried(t, "trap-fail", `WasmAdmission policy "trap-fail"`)
	c.requireTried(t, "trap-fail", "circuit breaker open since ")
	require.Contains(t, c.warning(t), `WasmAdmission policy "trap-ignore" failed and was ignored`)
	for _, policy := range []string{"trap-ignore", "trap-fail"} {
		c.requireMetric(t, fmt.Sprintf("open_circuit_breakers{policy=%q}", policy), 1)
		c.requireMetric(t,
			fmt.Sprintf("circuit_breaker_transitions_total{policy=%q,state=\"open\"}", policy), 1)
	}
	c.requireLog(t, "Circuit breaker opened: the policy keeps failing")
	// Other policies are evaluated as before.
	for _, policy := range []string{"no-privileged-pods", "clusterwide-team-label"} {
		open, err := c.metric(t, fmt.Sprintf("open_circuit_breakers{policy=%q}", policy))
		require.True(t, err != nil || open == 0)
	}
	c.hammer.RequireDenials(t)
	c.requireTried(t, "trap-fail", `WasmAdmission policy "trap-fail"`)
}

// warning returns the warnings that a client gets for a complying write.
func (c *cluster) warning(t *testing.T) string {
	t.Helper()
	config, warnings := c.server.RESTConfig(), &collected{}
	config.WarningHandler = warnings
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	require.NoError(t, hammer.Comply(t.Context(), client, hammer.ConfigMap("", "team", "red")))
	return warnings.String()
}

// collected is a warning handler that stores the warnings.
type collected struct {
	mu    sync.Mutex
	lines []string
}

func (c *collected) HandleWarningHeader(_ int, _ string, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, text)
}

func (c *collected) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// modulesReplaced replaces modules of a running server by one that accepts everything. One module
// may be replaced, and the other one has a pinned digest.
func modulesReplaced(t *testing.T, c *cluster) {
	c.place(t, "replaceable.wasm", "deny")
	c.place(t, "pinned.wasm", "deny")
	pinned := configuration{policies: replaceable + `
- name: pinned
  module: file://MODULES/pinned.wasm
  digest: ` + engine.Digest(guest(t, "deny")) + `
  objectSelector: {matchLabels: {try: pinned}}
`}
	denied := func(policy string) string {
		return fmt.Sprintf("WasmAdmission policy %q denied the request", policy)
	}
	c.start(t, pinned)
	c.requireTried(t, "replaceable", denied("replaceable"))
	c.requireTried(t, "pinned", denied("pinned"))

	// Whoever can write the file decides what an unpinned policy does. The change is visible.
	before := c.runningSet(t)
	c.place(t, "replaceable.wasm", "accept")
	c.requireNewSet(t, before)
	c.requireAdmitted(t, "replaceable")
	c.requireReady(t, policiesCheck)

	for _, content := range [][]byte{guest(t, "accept"), guest(t, "deny")[:100], nil} {
		c.placeBytes(t, "pinned.wasm", content)
		c.requireNotReady(t, policiesCheck, "policies[pinned].digest: ")
		c.requireMetric(t, "reload_failed_since_timestamp_seconds", 1)
		c.requireTried(t, "pinned", denied("pinned"))
	}
	c.requireLog(t,
		"The configured policies cannot be loaded: the previous set stays in service until this is fixed")
	// Without a pinned digest, a file that is not a module is refused too.
	c.placeBytes(t, "replaceable.wasm", []byte("no module"))
	c.requireNotReady(t, policiesCheck, "policies[replaceable].module: ")
	c.requireAdmitted(t, "replaceable")
	require.Contains(t, c.requireNoStart(t, pinned), "policies[pinned].digest: ")

	c.place(t, "replaceable.wasm", "accept")
	c.place(t, "pinned.wasm", "deny")
	c.start(t, pinned)
	c.requireReady(t, policiesCheck)
	c.requireTried(t, "pinned", denied("pinned"))
}

// directoryBroken breaks the manifest directory of a running server in several ways, and starts a
// server while it is broken.
func directoryBroken(t *testing.T, c *cluster) {
	c.start(t, configuration{keepLastGood: true})
	manifests, away := c.path("manifests"), c.path("manifests-away")
	broken := c.path("manifests", "broken.yaml")
	for _, way := range []struct {
		name, reason string
		breaks, mend func() error
	}{
		{"removed", "no such file or directory",
			func() error { return os.Rename(manifests, away) },
			func() error { return os.Rename(away, manifests) }},
		{"writable by others", "others must not be able to write it",
			func() error { return os.Chmod(manifests, 0o777) },
			func() error { return os.Chmod(manifests, 0o700) }},
		{"an invalid manifest", "broken.yaml",
			func() error { return os.WriteFile(broken, []byte("kind: ["), 0o600) },
			func() error { return os.Remove(broken) }},
	} {
		require.NoError(t, way.breaks(), way.name)
		c.requireNotReady(t, policiesCheck, way.reason)
		c.requireMetric(t, "reload_failed_since_timestamp_seconds", 1)
		c.requireLog(t,
			"The configured policies cannot be loaded: the previous set stays in service until this is fixed")
		c.requireControl(t)
		c.hammer.RequireDenials(t)

		require.Contains(t, c.requireNoStart(t, configuration{}), way.reason)
		c.start(t, configuration{keepLastGood: true})
		c.requireNotReady(t, policiesCheck, "a set that an earlier process kept is served")
		c.requireControl(t)
		c.hammer.RequireDenials(t)

		require.NoError(t, way.mend(), way.name)
		c.requireReady(t, policiesCheck)
	}
	c.requireMetric(t, `reloads_total{result="failed"}`, 1)
}
