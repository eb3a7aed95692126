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
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// policyFor returns a policy that matches all requests for ConfigMaps.
func policyFor(name, module string) string {
	return fmt.Sprintf(`
- name: %s
  module: %s
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]`, name, module)
}

// verifying returns the start of a configuration that requires a signature by a key for every
// module.
func verifying(state, registry string, key *signing.Key) string {
	return fmt.Sprintf(
		"stateDirectory: %s\nsources: {insecure: [%q]}\nverification: {required: true, config: %s}\npolicies:",
		state, registry, key.Config())
}

// TestOnlyVerifiedPoliciesRun checks that a server starts with policies from disk and from a
// registry that are signed in both formats, and that it refuses to start with unsigned policies,
// with one line each.
func TestOnlyVerifiedPoliciesRun(t *testing.T) {
	directory, key, other := modules(t), signing.NewKey(t), signing.NewKey(t)
	wasm, err := os.ReadFile(filepath.Join(directory, "deny.wasm"))
	require.NoError(t, err)
	// local writes a module with a bundle to the directory.
	local := func(name string, module, bundle []byte) string {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name+".wasm"), module, 0o600))
		if bundle != nil {
			require.NoError(t,
				os.WriteFile(filepath.Join(directory, name+".wasm.sigstore.json"), bundle, 0o600))
		}
		return policyFor(name, "MODULES/"+name+".wasm")
	}
	r := registry.Start(t, registry.Options{})
	// pulled pushes a module to the registry.
	pulled := func(name string, sign func(manifest string)) string {
		manifest := r.Push(t, name, "v1", wasm)
		sign(manifest)
		return policyFor(name, "registry://"+r.Host+"/"+name+":v1")
	}
	head := verifying(filepath.Join(t.TempDir(), "state"), r.Host, key)

	server := harness.Start(t,
		harness.Options{FeatureGate: true, AdmissionConfig: admissionConfiguration(directory, head+
			local("signed", wasm, key.FileBundle(t, wasm))+
			pulled("layers", func(manifest string) {
				r.PushSignatures(t, "layers", manifest, key.Layer(t, manifest, nil))
			})+
			pulled("bundles", func(manifest string) {
				r.PushReferrer(t, "bundles", manifest, registry.BundleMediaType,
					key.Bundle(t, manifest, nil))
			}))})
	output, err := server.Kubectl(t.Context(), "create", "configmap", "any")
	require.NoError(t, err)
	require.Contains(t, output.Stderr, `WasmAdmission policy "signed" denied the request`)
	require.NoError(t, server.Stop())

	refused := map[string]string{
		"unsigned": local("unsigned", wasm, nil),
		"foreign":  local("foreign", wasm, other.FileBundle(t, wasm)),
		"tampered": local("tampered", append(wasm[:len(wasm):len(wasm)], 0, 1, 0),
			key.FileBundle(t, wasm)),
		"no-layers": pulled("no-layers", func(string) {}),
		"foreign-layers": pulled("foreign-layers", func(manifest string) {
			r.PushSignatures(t, "foreign-layers", manifest, other.Layer(t, manifest, nil))
		}),
		"attested": pulled("attested", func(manifest string) {
			r.PushReferrer(t, "attested", manifest, registry.BundleMediaType,
				key.Statement(t, manifest, "https://slsa.dev/provenance/v1", nil))
		}),
	}
	config := head + local("signed", wasm, key.FileBundle(t, wasm))
	for _, policy := range refused {
		config += policy
	}
	code, stderr := harness.StartExpectingFailure(t,
		harness.Options{
			FeatureGate:     true,
			AdmissionConfig: admissionConfiguration(directory, config),
		})
	require.Equal(t, 1, code)
	lines := problemLines(stderr)
	require.Len(t, lines, len(refused), stderr)
	for name := range refused {
		require.Contains(t, fmt.Sprint(lines), "policies["+name+"].module: ", stderr)
	}
	for _, line := range lines {
		require.Contains(t, line, "not verified: ")
	}
}

// TestTrustIsReloaded changes the verification config and the trust root while a server runs.
func TestTrustIsReloaded(t *testing.T) {
	s, key, other := newSite(t), signing.NewKey(t), signing.NewKey(t)
	wasm, err := os.ReadFile(filepath.Join(s.modules, "deny.wasm"))
	require.NoError(t, err)
	require.NoError(t,
		os.WriteFile(filepath.Join(s.modules, "deny.wasm.sigstore.json"), key.FileBundle(t, wasm),
			0o600))
	root, err := os.ReadFile("../../pkg/sigstore/embedded/trusted_root.json")
	require.NoError(t, err)
	s.write("policies.d/deny.yaml", s.policy("deny", "deny", "{}", "never"))
	s.write("verification.yaml", key.Config())
	s.write("root.json", string(root))
	s.server = harness.Start(t,
		harness.Options{FeatureGate: true,
			AdmissionConfig: admissionConfiguration(s.modules, fmt.Sprintf(`
policyDirectory: %s
reload: {interval: 5s}
verification: {file: %s, trustRoot: {file: %s}}`, s.path("policies.d"), s.path("verification.yaml"), s.path("root.json")))})
	s.becomesDenied("clusterwide-deny", "never")
	require.NotZero(t, s.metric(`trust_root_timestamp_seconds{source="file"}`))

	for _, change := range []struct{ file, bad, good, why string }{
		{"verification.yaml", other.Config(), key.Config(), "no signature meets allOf[0]"},
		{"verification.yaml", "allOf: []", key.Config(), "verification.file: "},
		{"root.json", "", string(root), "verification.trustRoot: " + s.path("root.json") +
			": the trust root is empty"},
	} {
		s.write(change.file, change.bad)
		s.becomesBad(change.why)
		s.becomesDenied("clusterwide-deny", "never")
		s.write(change.file, change.good)
		s.becomesGood()
	}
}
