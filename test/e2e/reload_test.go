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

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/soak/reload"
)

// site is a server with a policy directory.
type site struct {
	*testing.T
	root    string
	modules string
	server  *harness.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, root: t.TempDir(), modules: modules(t)}
	require.NoError(t, os.Chmod(s.root, 0o700))
	require.NoError(t, os.Mkdir(s.path("policies.d"), 0o700))
	return s
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.root}, parts...)...)
}

func (s *site) options(extra string) harness.Options {
	return harness.Options{Dir: s.path("cluster"), FeatureGate: true,
		AdmissionConfig: admissionConfiguration(s.modules, fmt.Sprintf(`
policyDirectory: %s
stateDirectory: %s
breakGlassFile: %s
reload: {interval: 5s%s}`, s.path("policies.d"), s.path("state"), s.path("break-glass.yaml"), extra))}
}

func (s *site) start(extra string) {
	s.Helper()
	s.server = harness.Start(s, s.options(extra))
}

// write writes a file below the site's root.
func (s *site) write(name, content string) {
	s.Helper()
	require.NoError(s, os.MkdirAll(filepath.Dir(s.path(name)), 0o700))
	require.NoError(s, os.WriteFile(s.path(name), []byte(content), 0o600))
}

// policy returns the manifest of a policy for ConfigMaps. With the right module and settings, the
// policy denies with a message.
func (s *site) policy(name, guest, settings, message string) string {
	return fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: %s}
spec:
  module: file://%s
  settings: %s
  mutating: false
  message: %s
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
`, name, filepath.Join(s.modules, guest+".wasm"), settings, message)
}

// verdict returns the server's denial of a ConfigMap, or "" if the ConfigMap is admitted.
func (s *site) verdict() string {
	_, err := s.server.Clientset().CoreV1().ConfigMaps(metav1.NamespaceDefault).
		Create(context.Background(),
			configMap(metav1.NamespaceDefault, "any"),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error()
	}
	return ""
}

// becomes waits until a condition holds.
func (s *site) becomes(what string, so func() bool) {
	s.Helper()
	require.Eventually(s, so, time.Minute, 20*time.Millisecond, what)
}

func (s *site) becomesDenied(policy, message string) {
	s.Helper()
	want := fmt.Sprintf("WasmAdmission policy %q denied the request: %s", policy, message)
	s.becomes(want, func() bool { return strings.Contains(s.verdict(), want) })
}

func (s *site) becomesAdmitted() {
	s.Helper()
	s.becomes("admitted", func() bool { return s.verdict() == "" })
}

// readyz requests a single readiness check.
func (s *site) readyz(check string) (status int, body string) {
	s.Helper()
	status, body, err := s.server.Get(s.Context(), "/readyz"+check)
	require.NoError(s, err)
	return status, body
}

func (s *site) becomesBad(reason string) {
	s.Helper()
	s.becomes("bad: "+reason, func() bool {
		status, body := s.readyz("/wasm-admission-policies")
		return status == 500 && strings.Contains(body, reason)
	})
	status, _ := s.readyz("")
	require.Equal(s, 200, status, "the server must serve the last good set")
	require.NotZero(s, s.metric("reload_failed_since_timestamp_seconds"))
	require.NotEqual(s, s.hash("running"), s.hash("desired"))
}

func (s *site) becomesGood() {
	s.Helper()
	s.becomes("good", func() bool {
		status, _ := s.readyz("/wasm-admission-policies")
		return status == 200
	})
	require.Zero(s, s.metric("reload_failed_since_timestamp_seconds"))
	require.Equal(s, s.hash("running"), s.hash("desired"))
}

// metric returns the value of a metric of the plugin, which must exist. The name includes labels.
func (s *site) metric(name string) float64 {
	s.Helper()
	text, err := s.server.Metrics(s.Context())
	require.NoError(s, err)
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "apiserver_wasm_admission_"+name+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(s, err)
			return number
		}
	}
	require.FailNow(s, "metric not found", name)
	return 0
}

// hash returns the hash of the desired or the running set.
func (s *site) hash(state string) (hash string) {
	s.Helper()
	text, err := s.server.Metrics(s.Context())
	require.NoError(s, err)
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line,
			"apiserver_wasm_admission_policy_set_info{hash=\""); found &&
			strings.Contains(rest, `state="`+state+`"`) {
			require.Empty(s, hash)
			hash, _, _ = strings.Cut(rest, `"`)
		}
	}
	require.NotEmpty(s, hash)
	return hash
}

func TestReload(t *testing.T) {
	s := newSite(t)
	s.start("")
	require.Contains(t, s.server.Logs(), "NO POLICY is configured")
	require.Empty(t, s.verdict())

	t.Log("a manifest is added")
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "one"))
	s.becomesDenied("clusterwide-a", "one")
	s.becomesGood()

	t.Log("the manifest is edited")
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "two"))
	s.becomesDenied("clusterwide-a", "two")

	t.Log("settings are edited")
	s.write("policies.d/a.yaml", s.policy("a", "obedient", `{told: "do:a"}`, "three"))
	s.becomesAdmitted()
	s.write("policies.d/a.yaml", s.policy("a", "obedient", `{told: "do:d"}`, "three"))
	s.becomesDenied("clusterwide-a", "three")

	t.Log("another manifest is added, broken and fixed")
	s.write("policies.d/b.yaml",
		"apiVersion: policies.kubewarden.io/v1\nkind: ClusterAdmissionPolicy\n")
	s.becomesBad("b.yaml")
	require.Contains(t, s.verdict(), "three")
	s.write("policies.d/b.yaml", s.policy("b", "settings-refused", "{}", "four"))
	s.becomesBad("settings-refused.wat takes no settings")
	require.Contains(t, s.verdict(), "three")
	require.Contains(t, s.server.Logs(),
		"The configured policies cannot be loaded: the previous set stays in service until this is fixed")
	s.write("policies.d/b.yaml", s.policy("b", "deny", "{}", "four"))
	s.becomesDenied("clusterwide-b", "four")
	s.becomesGood()

	t.Log("a manifest is removed")
	require.NoError(t, os.Remove(s.path("policies.d/a.yaml")))
	s.becomes("without a", func() bool { return !strings.Contains(s.verdict(), "clusterwide-a") })
	require.Contains(t, s.verdict(), "four")

	t.Log("a module is replaced on disk")
	deny := filepath.Join(s.modules, "deny.wasm")
	wasm, err := os.ReadFile(filepath.Join(s.modules, "accept.wasm"))
	require.NoError(t, err)
	require.NoError(t, os.Rename(deny, deny+".old"))
	s.becomesBad("deny.wasm: no such file")
	require.Contains(t, s.verdict(), "four")
	require.NoError(t, os.WriteFile(deny, wasm, 0o600))
	s.becomesAdmitted()
	require.NoError(t, os.Rename(deny+".old", deny))
	s.becomesDenied("clusterwide-b", "four")

	t.Log("the directory is removed and restored")
	require.NoError(t, os.Rename(s.path("policies.d"), s.path("away")))
	s.becomesBad("no such file or directory")
	require.Contains(t, s.verdict(), "four")
	require.NoError(t, os.Rename(s.path("away"), s.path("policies.d")))
	s.becomesGood()

	t.Log("the directory becomes world-writable")
	require.NoError(t, os.Chmod(s.path("policies.d"), 0o777))
	s.becomesBad("has mode 0777")
	require.NoError(t, os.Chmod(s.path("policies.d"), 0o700))
	s.becomesGood()

	require.Positive(t, s.metric(`reloads_total{result="succeeded"}`))
	require.Positive(t, s.metric(`reloads_total{result="failed"}`))
	require.Positive(t, s.metric(`reload_duration_seconds_count{result="succeeded"}`))
	require.Equal(t, 1, int(s.metric("policies")))
}

// Kubernetes updates the volume of a ConfigMap by replacing one symbolic link.
func TestReloadOfAVolume(t *testing.T) {
	s := newSite(t)
	publish := func(version, message string) {
		s.write("policies.d/.."+version+"/a.yaml", s.policy("a", "deny", "{}", message))
		require.NoError(t, os.Symlink(".."+version, s.path("policies.d", "..data_tmp")))
		require.NoError(t,
			os.Rename(s.path("policies.d", "..data_tmp"), s.path("policies.d", "..data")))
	}
	publish("v1", "one")
	require.NoError(t, os.Symlink("..data/a.yaml", s.path("policies.d", "a.yaml")))
	s.start("")
	require.Contains(t, s.verdict(), "one")
	publish("v2", "two")
	require.NoError(t, os.RemoveAll(s.path("policies.d", "..v1")))
	s.becomesDenied("clusterwide-a", "two")
	s.becomesGood()
}

func TestRestartOnTheLastGoodSet(t *testing.T) {
	s := newSite(t)
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "one"))
	first := harness.Start(t, s.options(", keepLastGood: true"))
	s.server = first
	s.becomesDenied("clusterwide-a", "one")
	hash := s.hash("running")
	require.Equal(t, 1, int(s.metric(`last_good_saves_total{result="succeeded"}`)))
	require.NoError(t, first.Stop())

	s.write("policies.d/a.yaml", "apiVersion: policies.kubewarden.io/v1\nkind: [")
	require.NoError(t, os.Remove(filepath.Join(s.modules, "deny.wasm")))
	code, log := harness.StartExpectingFailure(t, s.options(""))
	require.NotZero(t, code)
	require.Contains(t, log, "a.yaml")

	s.start(", keepLastGood: true")
	require.Contains(t, s.verdict(), `WasmAdmission policy "clusterwide-a" denied the request: one`)
	s.becomesBad("a set that an earlier process kept is served")
	require.Equal(t, hash, s.hash("running"))
	s.write("policies.d/a.yaml", s.policy("a", "obedient", `{told: "do:d"}`, "two"))
	s.becomesDenied("clusterwide-a", "two")
	s.becomesGood()
}

func TestBreakGlass(t *testing.T) {
	s := newSite(t)
	order := func(policies string, until time.Time) string {
		return fmt.Sprintf(
			"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nuntil: %s\npolicies: [%s]\nreason: this test\n",
			until.Format(time.RFC3339), policies)
	}
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "one"))
	s.write("policies.d/b.yaml", s.policy("b", "deny", "{}", "two"))
	s.start("")
	require.Contains(t, s.verdict(), "one")

	t.Log("one policy")
	s.write("break-glass.yaml", order("clusterwide-a", time.Now().Add(time.Hour)))
	s.becomes("without a", func() bool { return !strings.Contains(s.verdict(), "clusterwide-a") })
	require.Contains(t, s.verdict(), "two")
	require.Greater(t, s.metric("break_glass_until_timestamp_seconds"), float64(time.Now().Unix()))
	require.Contains(t, s.server.Logs(), "BREAK-GLASS: policies are in monitor mode")

	t.Log("an invalid file is ignored")
	s.write("break-glass.yaml", order(`"*"`, time.Now().Add(25*time.Hour)))
	s.becomesDenied("clusterwide-a", "one")
	require.Equal(t, 1, int(s.metric(`break_glass_events_total{event="refused"}`)))
	require.Zero(t, s.metric("break_glass_until_timestamp_seconds"))

	t.Log("a file for all policies expires")
	s.write("break-glass.yaml", order(`"*"`, time.Now().Add(5*time.Second)))
	s.becomesAdmitted()
	s.becomesDenied("clusterwide-b", "two")
	s.becomes("told", func() bool { return s.metric("break_glass_until_timestamp_seconds") == 0 })
	require.Contains(t, s.server.Logs(), "Break-glass has ended: policies are enforced again")
}

// This is a short version of `make soak-reload`.
func TestEveryVerdictComesFromOneSet(t *testing.T) {
	report, err := reload.Run(t.Context(),
		reload.Options{Requests: 2000, Clients: 8, Changes: 12, Modules: modules(t)})
	require.NoError(t, err)
	require.Equal(t, 2000, report.Requests)
	require.Zero(t, report.Wrong, report.Examples)
	require.Zero(t, report.Lost, report.Examples)
	require.Positive(t, report.Sets[0])
	require.Positive(t, report.Sets[1])
	require.Positive(t, report.Bad)
	require.NotEmpty(t, report.Settings)
}
