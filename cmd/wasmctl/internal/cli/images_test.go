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

package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

// callers is the directory of guests that make the host calls listed in a request.
const callers = "../../../../bin/callers/"

// ask makes a guest call the host capability oci, and returns the answers.
func (s *signed) ask(operations []string, payloads []any, more ...string) []string {
	s.t.Helper()
	var calls []map[string][]byte
	for n := range operations {
		content, err := json.Marshal(payloads[n])
		require.NoError(s.t, err)
		calls = append(calls, map[string][]byte{
			"binding":   []byte("kubewarden"),
			"namespace": []byte("oci"),
			"operation": []byte(operations[n]),
			"payload":   content,
		})
	}
	raw, err := json.Marshal(map[string]any{"uid": "1", "object": map[string]any{"calls": calls}})
	require.NoError(s.t, err)
	out :=
		s.does(append([]string{
			"run",
			"--raw",
			"-r",
			file(s.t, "request.json", string(raw)),
			callers + "wapc.wasm",
		}, more...)...)
	var response struct{ Status struct{ Message string } }
	require.NoError(s.t, json.Unmarshal([]byte(out), &response), out)
	var outcomes []string
	require.NoError(s.t, json.Unmarshal([]byte(response.Status.Message), &outcomes),
		response.Status.Message)
	return outcomes
}

// A policy on the command line may ask any registry at any address, like the command itself when it
// fetches modules. The answers can be recorded and replayed.
func TestPoliciesAskAboutImages(t *testing.T) {
	s := newSigned(t)
	instance := keyless.New(t)
	s.registry.PushReferrer(t, "bare", s.manifest, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", s.manifest, nil))
	root := file(t, "trusted_root.json", string(instance.TrustedRoot(t)))
	session := filepath.Join(t.TempDir(), "session.yml")
	image := s.host + "/old:v1"
	operations := []string{
		"v1/manifest_digest", "v1/oci_manifest", "v1/oci_manifest_config", "v1/verify", "v2/verify",
		"v2/verify", "v2/verify",
	}
	payloads := []any{
		image, image, image,
		map[string]any{
			"SigstorePubKeyVerify": map[string]any{
				"image":       image,
				"pub_keys":    []string{s.key.PEM},
				"annotations": map[string]string{"env": "prod"},
			},
		},
		map[string]any{
			"type":        "SigstorePubKeyVerify",
			"image":       image,
			"pub_keys":    []string{s.foreign.PEM},
			"annotations": nil,
		},
		map[string]any{
			"type":  "SigstoreKeylessVerify",
			"image": s.host + "/bare:v1",
			"keyless": []any{
				map[string]string{
					"issuer":  "https://issuer.example.com",
					"subject": "ann@example.com",
				},
			},
			"annotations": nil,
		},
		map[string]any{
			"type":        "SigstoreGithubActionsVerify",
			"image":       s.host + "/bare:v1",
			"owner":       "kubewarden",
			"annotations": nil,
		},
	}
	trusted := `answered: {"is_trusted":true,"digest":"` + s.manifest + `"}`
	live := s.ask(operations, payloads, "--sigstore-trust-config", root,
		"--record-host-capabilities-interactions", session)
	require.Equal(t, `answered: {"digest":"`+s.manifest+`"}`, live[0])
	require.Contains(t, live[1], `answered: {"schemaVersion":2,`)
	require.Contains(t, live[2], `,"digest":"`+s.manifest+`","config":{}}`)
	require.Equal(t, trusted, live[3])
	require.Regexp(t, "^failed: .*no signature meets ", live[4])
	require.Equal(t, trusted, live[5])
	require.Regexp(t, "^failed: .*wants issuer ", live[6])

	s.registry.Stop()
	require.Equal(t, live,
		s.ask(operations, payloads, "--replay-host-capabilities-interactions", session))
}

// Without a private trust root, the public Sigstore's is used, without network access.
func TestPoliciesAskByThePublicTrustRoot(t *testing.T) {
	s := newSigned(t)
	instance := keyless.New(t)
	s.registry.PushReferrer(t, "bare", s.manifest, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", s.manifest, nil))
	got := s.ask([]string{"v2/verify"}, []any{map[string]any{
		"type": "SigstoreGithubActionsVerify", "image": s.host + "/bare:v1", "owner": "kubewarden",
		"annotations": nil,
	}})
	require.Regexp(t, "^failed: .*no signature by an identity", got[0])
	require.DirExists(t, filepath.Join(s.config, "kubewarden", "fulcio_and_rekor_data", "wasmctl"))
}

func TestPoliciesAskOnlyWhatTheyMay(t *testing.T) {
	s := newSigned(t)
	require.Contains(t,
		s.ask([]string{"v1/manifest_digest"}, []any{s.host + "/old:v1"},
			"--allowed-host-capabilities", "net/*")[0],
		"Policy has not been granted access to the 'oci/v1/manifest_digest' host capability")
	// Unreadable sources are an error in the answer to the policy.
	require.NoError(t, os.Remove(filepath.Join(s.config, "kubewarden", "sources.yaml")))
	require.Contains(t, s.ask([]string{"v1/manifest_digest"}, []any{s.host + "/old:v1"})[0],
		"failed: ")
	s.configure("sources.yaml", "insecure: []")
	require.Contains(t, s.ask([]string{"v1/manifest_digest"}, []any{s.host + "/old:v1"})[0],
		"is not a Kubewarden sources.yml")
	s.refuses(cli.ExitUsage, "--allowed-host-capabilities: ", "run", "-r", request,
		"--allowed-host-capabilities", "oci/v3", callers+"wapc.wasm")
}
