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
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

func TestSigstore(t *testing.T) {
	s := newSuite(t)
	x := &table{suite: s}
	b := x.sign()
	t.Run("modules with the required signatures are served", func(t *testing.T) { x.testServed(t, b) })
	others := t.TempDir()
	foreign, err := instance.NewKeys(others)
	require.NoError(t, err)
	t.Run("trust roots", func(t *testing.T) { x.testRoots(t, b, others) })
	t.Run("a trust root in Kubewarden's format", func(t *testing.T) { x.testClientTrustConfig(t, b) })
	t.Run("the store", func(t *testing.T) { x.testStore(t) })
	t.Run("a tag that moves", func(t *testing.T) { x.testMovedTag(t, b) })
	t.Run("mirrors", func(t *testing.T) { x.testMirror(t, b) })
	t.Run("an air gap", func(t *testing.T) { x.testAirGap(t, b) })
	x.foreign()
	x.exchanged(b)
	x.layers(b)
	x.materials(b, foreign)
	x.certified(b, foreign)
	x.demands(b)
	for what, m := range map[string]signed{
		"image by key":     b.keyBundle,
		"file by key":      b.keyFile,
		"image by address": b.emailBundle,
		"file by workflow": b.workflowFile,
	} {
		x.everyField(what, m)
	}
	accepted := map[string]bool{}
	t.Run("no server starts with any other module", func(t *testing.T) {
		x.testStart(t, accepted)
	})
	t.Run("no running server accepts any other module", func(t *testing.T) {
		x.testReload(t, accepted, b)
	})
	figure.Print("tamper_cases", float64(len(x.cases)+x.started), "count")
	figure.Print("tamper_accepted", float64(len(accepted)), "count")
	require.GreaterOrEqual(t, len(x.cases), 100)
	require.Empty(t, accepted)
}

// testServed checks that a server starts with all subjects that cosign signed, after they are
// decoded and encoded as for the test cases. So the test cases are refused only because of their
// changes.
func (x *table) testServed(t *testing.T, b subjects) {
	var policies []policy
	for what, m := range map[string]signed{
		"key-bundle": b.keyBundle, "key-logged": b.keyLogged, "key-layer": b.keyLayer,
		"key-file": b.keyFile, "key-file-logged": b.keyFileLogged,
		"email-bundle": b.emailBundle, "email-layer": b.emailLayer, "email-file": b.emailFile,
		"workflow-bundle": b.workflowBundle, "workflow-layer": b.workflowLayer,
		"workflow-file": b.workflowFile,
		"rsa-layer":     b.rsaLayer, "edwards-bundle": b.edwardsBundle,
	} {
		modules := []string{x.deploy(m)}
		if !m.isFile {
			modules = []string{x.deployTo(x.plain, m), x.deployTo(x.other, m)}
		}
		for n, module := range modules {
			policies = append(policies, policy{
				name:    fmt.Sprintf("%s-%d", what, n),
				module:  module,
				demands: []map[string]any{m.demand},
			})
		}
	}
	annotated := map[string]any{"annotations": map[string]string{"env": "prod"}}
	for field, value := range b.keyBundle.demand {
		annotated[field] = value
	}
	flow := x.fromIssuer(instance.GitHub,
		map[string]string{"urlPrefix": "https://github.com/example/policies"})
	both := b.emailBundle
	both.layer = b.keyLayer.layer
	// Materials that the test creates with the keys of the instance's parts are accepted if they
	// have the right time.
	again, stamped := b.emailLayer, b.emailFile
	again.layer = &registry.Layer{
		Payload:     again.layer.Payload,
		Annotations: maps.Clone(again.layer.Annotations),
	}
	again.layer.Annotations[logAnnotation] =
		string(x.loggedAt([]byte(again.layer.Annotations[logAnnotation]), time.Now(),
			x.instance.Keys))
	stamped.bundle = x.put(stamped.bundle,
		x.timestampOf(x.signature(stamped.bundle), time.Now(), x.instance.Keys), timestampWay...)
	policies = append(policies,
		policy{
			name:    "annotated-bundle",
			module:  x.deploy(b.keyBundle),
			demands: []map[string]any{annotated},
		},
		policy{
			name:    "annotated-layer",
			module:  x.deploy(b.keyLayer),
			demands: []map[string]any{annotated},
		},
		policy{
			name:    "owner",
			module:  x.deploy(b.workflowBundle),
			demands: []map[string]any{x.fromGitHub(owner, "")},
		},
		policy{
			name:    "url-prefix",
			module:  x.deploy(b.workflowBundle),
			demands: []map[string]any{flow},
		},
		policy{
			name:    "both-formats",
			module:  x.deploy(both),
			demands: []map[string]any{annotated, b.emailBundle.demand},
		},
		policy{
			name:    "logged-again",
			module:  x.deploy(again),
			demands: []map[string]any{again.demand},
		},
		policy{
			name:    "stamped-again",
			module:  x.deploy(stamped),
			demands: []map[string]any{stamped.demand},
		},
		policy{name: "any-of", module: x.deploy(b.emailFile), choice: x.demanded()},
	)
	server := x.serves(t, harness.Options{AdmissionConfig: x.configuration("", nil, policies...)})
	metrics, err := server.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics,
		fmt.Sprintf("apiserver_wasm_admission_policies %d\n", len(policies)))
	figure.Print("sigstore_served_policies", float64(len(policies)), "count")
}

// testStart starts a server with all cases at once. The server must refuse to start, with one line
// for each case.
func (x *table) testStart(t *testing.T, accepted map[string]bool) {
	var policies []policy
	for n, c := range x.cases {
		p := policy{name: name(n), module: c.module, demands: c.demands, choice: c.choice}
		if c.demands == nil && c.choice == nil {
			p.choice = x.demanded()
		}
		policies = append(policies, p)
	}
	lines := x.refused(t, x.configuration("", nil, policies...))
	for n, c := range x.cases {
		found := lineOf(lines, name(n))
		if len(found) == 0 {
			accepted[c.what] = true
			t.Errorf("%s: %s was not refused", name(n), c.what)
			continue
		}
		if len(found) != 1 || !strings.Contains(found[0], "not verified: ") ||
			!strings.Contains(found[0], c.want) || !strings.Contains(found[0], "sha256:") {
			t.Errorf("%s: %s: %d lines, want %q: %s", name(n), c.what, len(found), c.want,
				strings.Join(found, "\n"))
			continue
		}
		t.Logf("%s: %s", c.what, found[0])
	}
	require.Len(t, lines, len(x.cases))
}

// testReload adds the cases to a running server one by one. Each must be a bad change, and the
// server must keep serving the previous set.
func (x *table) testReload(t *testing.T, accepted map[string]bool, b subjects) {
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	write := func(file, name, module string) {
		x.writeManifest(t, filepath.Join(directory, file), name, module)
	}
	write("good.yaml", "good", x.deploy(b.emailBundle))
	server := x.serves(t, harness.Options{AdmissionConfig: x.configuration("", map[string]any{
		"policyDirectory": directory, "reload": map[string]any{"interval": "5s"},
		"verification": map[string]any{
			"required": true, "trustRoot": map[string]any{
				"file": x.instance.Path(instance.TrustedRoot),
			}, "config": config(nil, x.demanded(), 1),
		},
	})})
	count := 0
	for n, c := range x.cases {
		if c.demands != nil || c.choice != nil {
			continue // policies in the directory cannot have their own requirements
		}
		count++
		write("case.yaml", name(n), c.module)
		says := ""
		require.Eventually(t, func() bool {
			status, body, err := server.Get(t.Context(), "/readyz/wasm-admission-policies")
			says = fmt.Sprintf("%d %s", status, body)
			return err == nil && strings.Contains(body, name(n))
		}, time.Minute, 10*time.Millisecond, "%s: %s", name(n), c.what)
		if !strings.Contains(says, c.want) || !strings.HasPrefix(says, "500 ") {
			accepted[c.what] = true
			t.Errorf("%s: %s: %s", name(n), c.what, says)
		}
		require.Contains(t, verdict(t, server), `"clusterwide-good" denied`)
	}
	write("case.yaml", "case-good", x.deploy(b.workflowFile))
	require.Eventually(t, func() bool {
		status, _, err := server.Get(t.Context(), "/readyz/wasm-admission-policies")
		return err == nil && status == 200
	}, time.Minute, 10*time.Millisecond, "a module with the required signature is served")
	figure.Print("tamper_cases_reloaded", float64(count), "count")
}

// writeManifest writes the manifest of a policy.
func (s *suite) writeManifest(t *testing.T, path, name, module string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(s.json(map[string]any{
		"apiVersion": "policies.kubewarden.io/v1", "kind": "ClusterAdmissionPolicy",
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"module": module, "mutating": false,
			"rules": []any{
				map[string]any{
					"apiGroups":   []string{""},
					"apiVersions": []string{"v1"},
					"resources":   []string{"configmaps"},
					"operations":  []string{"CREATE"},
				},
			},
		},
	})), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}
