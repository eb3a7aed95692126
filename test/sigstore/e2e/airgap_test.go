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
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// testAirGap checks that a server starts with nothing but a bundle of signed policies from wasmctl,
// and that it refuses a bundle that was tampered with.
func (x *table) testAirGap(t *testing.T, b subjects) {
	directory := t.TempDir()
	in := func(name string) string { return filepath.Join(directory, name) }
	var policies []policy
	for what, m := range map[string]signed{
		"key-bundle": b.keyBundle, "key-layer": b.keyLayer, "email-bundle": b.emailBundle,
		"email-layer":     b.emailLayer,
		"workflow-bundle": b.workflowBundle, "workflow-layer": b.workflowLayer,
	} {
		policies = append(policies,
			policy{name: what, module: x.deployTo(x.plain, m), demands: []map[string]any{m.demand}})
	}
	configuration := func() string {
		return x.configuration("",
			map[string]any{"sources": map[string]any{"layout": in("policies.tar")}}, policies...)
	}
	require.NoError(t, os.WriteFile(in("admission.json"), []byte(configuration()), 0o600))
	require.NoError(t,
		os.WriteFile(in("sources.json"),
			[]byte(x.json(map[string]any{"insecure_sources": []string{x.plain.Host}})), 0o600))
	for _, command := range [][]string{
		{"go", "build", "-o", in("wasmctl"), "../../../cmd/wasmctl"},
		{in("wasmctl"), "bundle", "-o", in("policies.tar"), "--sources-path", in("sources.json"),
			in("admission.json")},
		{in("wasmctl"), "bundle", "--verify", in("policies.tar"), in("admission.json")},
	} {
		output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	x.serves(t, harness.Options{AdmissionConfig: configuration()})

	content, err := os.ReadFile(in("policies.tar"))
	require.NoError(t, err)
	for what, signature := range map[string][]byte{
		"email-bundle":    b.emailBundle.bundle,
		"workflow-bundle": b.workflowBundle.bundle,
	} {
		at := bytes.Index(content, signature)
		require.Positive(t, at, what)
		tampered := bytes.Clone(content)
		tampered[at+len(signature)/2] ^= 1
		require.NoError(t, os.WriteFile(in("policies.tar"), tampered, 0o600))
		lines := x.refused(t, configuration())
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "policies["+what+"].module: ")
		x.started++
	}
}
