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

package keyless

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// Publish pushes a policy to a registry three times, with the tag v1. PREFIX/old and PREFIX/bundled
// are signed by a key, with the annotation env=prod, in cosign's older and newer format.
// PREFIX/keyless is signed by ann@example.com at https://issuer.example.com. Publish returns a
// directory with cosign.pub, foreign.pub (a key that signed nothing), trust_config.json, and the
// policy as policy.wasm with its bundle.
func Publish(t testing.TB, r *registry.Registry, prefix string, policy []byte) string {
	t.Helper()
	key, instance, prod := signing.NewKey(t), New(t), map[string]string{"env": "prod"}
	manifest := ""
	for _, name := range []string{"/old", "/bundled", "/keyless"} {
		manifest = r.Push(t, prefix+name, "v1", policy)
	}
	r.PushSignatures(t, prefix+"/old", manifest, key.Layer(t, manifest, prod))
	r.PushReferrer(t, prefix+"/bundled", manifest, registry.BundleMediaType,
		key.Bundle(t, manifest, prod))
	r.PushReferrer(t, prefix+"/keyless", manifest, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", manifest, nil))
	directory := t.TempDir()
	for name, content := range map[string][]byte{
		"cosign.pub": []byte(key.PEM), "foreign.pub": []byte(signing.NewKey(t).PEM),
		"trust_config.json": instance.ClientTrustConfig(t),
		"policy.wasm":       policy, "policy.wasm.sigstore.json": key.FileBundle(t, policy),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), content, 0o600))
	}
	return directory
}
