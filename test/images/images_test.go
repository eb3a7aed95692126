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

// Package images tests the host capabilities for images: guests of both calling conventions ask
// about images in a real registry, through a server's loader, ABI and gate.
package images

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// newPolicy loads a policy whose guest makes the host call that the request asks for.
func newPolicy(t *testing.T, convention, more string) *policyset.Policy {
	t.Helper()
	guest, err := filepath.Abs("../../bin/callers/" + convention + ".wasm")
	require.NoError(t, err)
	config, err := load.LoadFromData(fmt.Appendf(nil, `
apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
policies:
- {name: caller, module: 'file://%s', hostCapabilities: ["oci/*"]}
%s`, guest, more))
	require.NoError(t, err)
	require.Empty(t, validation.ValidateConfiguration(config))
	images, err := assembly.NewImages(config, sigstore.New(nil), nil)
	require.NoError(t, err)
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	loader := policyset.Loader{
		Engine: e,
		Capabilities: policyset.Capabilities{
			ByNamespace: assembly.HostCapabilities(nil, net.Options{}, images),
		},
	}
	set, errs := loader.Load(t.Context(), config)
	require.Empty(t, errs)
	t.Cleanup(set.Close)
	return set.Policies()[0]
}

// ask makes the guest make a host call, and returns the outcome.
func ask(t *testing.T, p *policyset.Policy, operation string, payload any) string {
	t.Helper()
	content, err := json.Marshal(payload)
	require.NoError(t, err)
	request, err :=
		json.Marshal(map[string]any{"object": map[string]any{"calls": []map[string][]byte{
			{
				"binding": []byte("kubewarden"), "namespace": []byte("oci"),
				"operation": []byte(operation), "payload": content,
			},
		}}})
	require.NoError(t, err)
	response, _, err := p.Evaluate(t.Context(), request)
	require.NoError(t, err)
	var outcomes []string
	require.NoError(t, json.Unmarshal([]byte(response.Message), &outcomes), response.Message)
	require.Len(t, outcomes, 1)
	return outcomes[0]
}

func TestGuestsAskAboutImages(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	key, foreign := signing.NewKey(t), signing.NewKey(t)
	manifest := r.Push(t, "app", "v1", []byte("\x00asm"))
	r.PushReferrer(t, "app", manifest, registry.BundleMediaType, key.Bundle(t, manifest, nil))
	image := r.Host + "/app:v1"
	verify := func(k *signing.Key) any {
		return map[string]any{
			"type":        "SigstorePubKeyVerify",
			"image":       image,
			"pub_keys":    []string{k.PEM},
			"annotations": nil,
		}
	}
	for _, convention := range []string{"wapc", "wasi"} {
		t.Run(convention, func(t *testing.T) {
			p := newPolicy(t, convention,
				fmt.Sprintf("sources: {insecure: [%q]}\ncapabilities: {oci: {registries: [%q]}}\n",
					r.Host, r.Host))
			require.Equal(t, `answered: {"digest":"`+manifest+`"}`,
				ask(t, p, "v1/manifest_digest", image))
			require.Contains(t, ask(t, p, "v1/oci_manifest", image),
				`answered: {"schemaVersion":2,`)
			require.Contains(t, ask(t, p, "v1/oci_manifest_config", image),
				`,"digest":"`+manifest+`","config":{}}`)
			require.Equal(t, `answered: {"is_trusted":true,"digest":"`+manifest+`"}`,
				ask(t, p, "v2/verify", verify(key)))
			require.Regexp(t, "^failed: .*no signature meets ",
				ask(t, p, "v2/verify", verify(foreign)))
			require.Equal(t, `answered: {"is_trusted":true,"digest":"`+manifest+`"}`,
				ask(t, p, "v1/verify", map[string]any{
					"SigstorePubKeyVerify": map[string]any{
						"image":       image,
						"pub_keys":    []string{key.PEM},
						"annotations": nil,
					},
				}))
			require.Regexp(t, "^failed: .*which policies may not ask about: add ",
				ask(t, p, "v1/manifest_digest", "busybox"))
		})
	}
}
