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
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

// TestAirGap starts a server with nothing but a bundle from wasmctl bundle. The bundle has policies
// from a registry and a web server that are gone, signed by a key and by an identity in all
// formats, and the server verifies them. It refuses a bundle that was tampered with, with one line.
func TestAirGap(t *testing.T) {
	directory, key, instance := modules(t), signing.NewKey(t), keyless.New(t)
	deny, err := os.ReadFile(filepath.Join(directory, "deny.wasm"))
	require.NoError(t, err)
	// A custom section makes each policy a different module. Otherwise a reference to one would
	// refer to all.
	variant := func(n int) []byte {
		return append(deny[:len(deny):len(deny)], bytes.Repeat([]byte{0, 1, 0}, n)...)
	}
	r := registry.Start(t, registry.Options{})
	layers := r.Push(t, "layers", "v1", variant(1))
	r.PushSignatures(t, "layers", layers, key.Layer(t, layers, nil))
	bundled := r.Push(t, "bundles", "v1", variant(2))
	r.PushReferrer(t, "bundles", bundled, registry.BundleMediaType, key.Bundle(t, bundled, nil))
	identified := r.Push(t, "keyless", "v1", variant(3))
	r.PushReferrer(t, "keyless", identified, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", identified, nil))
	files := map[string][]byte{
		"/policy.wasm":               variant(4),
		"/policy.wasm.sigstore.json": key.FileBundle(t, variant(4)),
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = w.Write(files[request.URL.Path])
	}))
	t.Cleanup(web.Close)

	in := func(name string) string { return filepath.Join(directory, name) }
	require.NoError(t, os.WriteFile(in("root.json"), instance.TrustedRoot(t), 0o600))
	insecure := fmt.Sprintf("[%q, %q]", r.Host, strings.TrimPrefix(web.URL, "http://"))
	configuration := func(sources, root string) string {
		return fmt.Sprintf(`sources: {insecure: %s, %s}
verification:
  config: {apiVersion: v1, anyOf: {signatures: [{kind: pubKey, key: %q}, {kind: genericIssuer, issuer: "https://issuer.example.com", subject: {equal: ann@example.com}}]}}
  trustRoot: {file: %s}
policies:`, insecure, sources, key.PEM, root) +
			policyFor("layers", "registry://"+r.Host+"/layers:v1") +
			policyFor("bundles", "registry://"+r.Host+"/bundles@"+bundled) +
			policyFor("keyless", "registry://"+r.Host+"/keyless:v1") +
			policyFor("web", web.URL+"/policy.wasm")
	}
	layout := "layout: " + in("policies.tar")
	online := admissionConfiguration(directory, configuration(layout, in("root.json")))
	offline := admissionConfiguration(directory,
		configuration(layout, in("policies.trusted_root.json")))
	require.NoError(t, os.WriteFile(in("admission.yaml"), []byte(online), 0o600))
	require.NoError(t,
		os.WriteFile(in("sources.yaml"), []byte("insecure_sources: "+insecure), 0o600))
	tool := filepath.Join(t.TempDir(), "wasmctl")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "../../cmd/wasmctl").
		CombinedOutput()
	require.NoError(t, err, "%s", output)
	output, err = exec.CommandContext(t.Context(), tool, "bundle", "-o", in("policies.tar"),
		"--sources-path", in("sources.yaml"), in("admission.yaml")).CombinedOutput()
	require.NoError(t, err, "%s", output)
	r.Stop()
	web.Close()
	output, err = exec.CommandContext(t.Context(), tool, "bundle", "--verify", in("policies.tar"),
		in("admission.yaml")).CombinedOutput()
	require.NoError(t, err, "%s", output)

	server := harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: offline})
	denied, err := server.Kubectl(t.Context(), "create", "configmap", "any")
	require.NoError(t, err)
	require.Contains(t, denied.Stderr, `WasmAdmission policy "layers" denied the request`)
	require.NoError(t, server.Stop())

	content, err := os.ReadFile(in("policies.tar"))
	require.NoError(t, err)
	// Include the padding of the tar block, because other modules start with the same bytes.
	at := bytes.Index(content, append(variant(1), 0, 0))
	require.Positive(t, at)
	signature := bytes.Index(content, []byte("messageSignature"))
	require.Positive(t, signature)
	for name, test := range map[string]struct {
		tamper  func([]byte) []byte
		problem string
	}{
		"module": {func(b []byte) []byte { b[at+len(deny)-1] ^= 1; return b },
			"policies[layers].module: "},
		"signature": {func(b []byte) []byte { b[signature] = 'M'; return b },
			"policies[web].module: "},
		"cut": {func(b []byte) []byte { return b[:len(b)/2] },
			"layout " + in("policies.tar")},
	} {
		require.NoError(t,
			os.WriteFile(in("policies.tar"), test.tamper(bytes.Clone(content)), 0o600))
		code, stderr := harness.StartExpectingFailure(t,
			harness.Options{FeatureGate: true, AdmissionConfig: offline})
		require.Equal(t, 1, code, name)
		lines := problemLines(stderr)
		require.NotEmpty(t, lines, stderr)
		if name != "cut" {
			require.Len(t, lines, 1, "%s: %s", name, stderr)
		}
		require.Contains(t, lines[0], test.problem, name)
		require.Contains(t, lines[0], in("policies.tar"), name)
	}
}
