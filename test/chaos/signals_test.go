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
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// policiesCheck is the readiness check that fails after a bad change of the policies.
const policiesCheck = "/readyz/wasm-admission-policies"

// requireLog waits until the server's log contains a text.
func (c *cluster) requireLog(t *testing.T, text string) {
	t.Helper()
	hammer.Eventually(t, fmt.Sprintf("the log contains %q", text), func() error {
		if !strings.Contains(c.server.Logs(), text) {
			return fmt.Errorf("the log does not contain %q", text)
		}
		return nil
	})
}

// requireNotReady waits until a readiness check fails with a reason.
func (c *cluster) requireNotReady(t *testing.T, check, reason string) {
	t.Helper()
	hammer.Eventually(t, fmt.Sprintf("%s fails: %s", check, reason), func() error {
		status, body, err := c.server.Get(t.Context(), check)
		if err == nil && (status == 200 || !strings.Contains(body, reason)) {
			err = fmt.Errorf("GET %s: status %d: %s", check, status, body)
		}
		return err
	})
}

// requireReady waits until a readiness check passes.
func (c *cluster) requireReady(t *testing.T, check string) {
	t.Helper()
	hammer.Eventually(t, check+" passes", func() error {
		status, body, err := c.server.Get(t.Context(), check)
		if err == nil && status != 200 {
			err = fmt.Errorf("GET %s: status %d: %s", check, status, body)
		}
		return err
	})
}

// requireMetric waits until a metric of the plugin reaches a value. name has no prefix, but all
// labels.
func (c *cluster) requireMetric(t *testing.T, name string, least float64) {
	t.Helper()
	hammer.Eventually(t, fmt.Sprintf("metric %s is at least %g", name, least), func() error {
		value, err := c.metric(t, name)
		if err == nil && value < least {
			err = fmt.Errorf("%s is %g", name, value)
		}
		return err
	})
}

func (c *cluster) metric(t *testing.T, name string) (float64, error) {
	all, err := c.server.Metrics(t.Context())
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(all) {
		if text, found := strings.CutPrefix(line, "apiserver_wasm_admission_"+name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
	}
	return 0, fmt.Errorf("metric %s does not exist", name)
}

var runningHash = regexp.MustCompile(
	`apiserver_wasm_admission_policy_set_info\{hash="([0-9a-f]+)",state="running"\} 1`)

// runningSet returns the hash of the served set.
func (c *cluster) runningSet(t *testing.T) string {
	t.Helper()
	all, err := c.server.Metrics(t.Context())
	require.NoError(t, err)
	found := runningHash.FindStringSubmatch(all)
	require.NotNil(t, found, "the metrics must name the running set")
	return found[1]
}

// requireNewSet waits until a different set is served.
func (c *cluster) requireNewSet(t *testing.T, before string) {
	t.Helper()
	hammer.Eventually(t, "a new set of policies is served", func() error {
		if now := c.runningSet(t); now == before {
			return fmt.Errorf("the set is still %s", now)
		}
		return nil
	})
}
