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

package modules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

func TestDemandsOfPolicies(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	path := filepath.Join(t.TempDir(), "policy.wasm")
	require.NoError(t, os.WriteFile(path, wasm, 0o600))
	require.NoError(t, os.WriteFile(path+".sigstore.json", key.FileBundle(t, wasm), 0o600))
	config, err := verification.ParseConfig([]byte(key.Config()))
	require.NoError(t, err)
	foreign, err := verification.ParseConfig([]byte(other.Config()))
	require.NoError(t, err)
	keyless := `{"apiVersion": "v1", "allOf": [{"kind": "githubAction", "owner": "kubewarden"}]}`
	for name, c := range map[string]struct {
		config   *verification.Config
		required bool
		own      modules.Demands
		want     string
	}{
		"nothing":      {nil, false, modules.Demands{}, ""},
		"not required": {foreign, false, modules.Demands{}, ""},
		"required": {foreign, true, modules.Demands{},
			"allOf[0] of verification.config"},
		"required by the policy": {foreign, false, modules.Demands{Required: true},
			"allOf[0] of verification.config"},
		"and met": {config, false, modules.Demands{Required: true}, ""},
		"but of nobody": {nil, false, modules.Demands{Required: true},
			"the policy requires verification, and neither verification.config nor verification.file is set"},
		"its own": {nil, false, modules.Demands{Config: []byte(key.Config())}, ""},
		"its own, unmet": {nil, false, modules.Demands{Config: []byte(other.Config())},
			"allOf[0] of the policy's verification.config"},
		"both": {config, true, modules.Demands{Config: []byte(key.Config())}, ""},
		"its own do not replace": {foreign, true, modules.Demands{Config: []byte(key.Config())},
			"allOf[0] of verification.config"},
		"they add": {config, true, modules.Demands{Config: []byte(other.Config())},
			"allOf[0] of the policy's verification.config"},
		"broken": {config, true, modules.Demands{Config: []byte(`{}`)},
			"the policy's verification.config: apiVersion: is missing"},
		"empty": {foreign, false,
			modules.Demands{Required: true, Config: []byte{}}, "allOf[0] of verification.config"},
		"no JSON": {config, true, modules.Demands{Config: []byte(`x`)},
			"the policy's demands cannot be read"},
		"identities": {config, true, modules.Demands{Config: []byte(keyless)},
			"demands signatures by identities: there is no trust root"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := modules.New(modules.Options{
				Checker:  sigstore.New(nil),
				Config:   c.config,
				Required: c.required,
			})
			require.NoError(t, err)
			_, err = newFetcher(t, v, nil, module.Sources{}).
				Get(silent(t), module.Request{URI: "file://" + path, Demands: c.own.Text()})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err = modules.New(modules.Options{Config: config})
	require.ErrorContains(t, err, "this program was built without a signature checker")
	_, err = modules.New(modules.Options{Checker: sigstore.New(nil), Required: true})
	require.ErrorContains(t, err, "no config says whose")
	identities, err := verification.ParseConfig([]byte(keyless))
	require.NoError(t, err)
	_, err = modules.New(modules.Options{
		Checker:  sigstore.New(nil),
		Config:   identities,
		Required: true,
	})
	require.ErrorIs(t, err, verification.ErrNoTrustRoot)
}

// rooted has a trust root that changes.
type rooted struct {
	verification.Checker
	root string
}

func (r *rooted) TrustRoot() string { return r.root }

func TestIdentityChangesWithWhatIsDemanded(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	checker := &rooted{Checker: sigstore.New(nil), root: "one"}
	config, err := verification.ParseConfig([]byte(key.Config()))
	require.NoError(t, err)
	v, err := modules.New(modules.Options{Checker: checker, Config: config, Required: true})
	require.NoError(t, err)
	keys, more := v.Identity(""), v.Identity(modules.Demands{Config: []byte(other.Config())}.Text())
	keyless := modules.Demands{
		Config: []byte(
			`{"apiVersion": "v1", "allOf": [{"kind": "githubAction", "owner": "kubewarden"}]}`),
	}.Text()
	identities := v.Identity(keyless)
	require.NotEqual(t, keys, more)
	require.NotEqual(t, keys, identities)
	require.Equal(t, keys, v.Identity(modules.Demands{}.Text()))
	checker.root = "two"
	require.Equal(t, keys, v.Identity(""), "keys need no trust root")
	require.NotEqual(t, identities, v.Identity(keyless))
	checker.root = ""
	_, err = v.Verify(silent(t), module.Artifact{Digest: engine.Digest(wasm), Demands: keyless})
	require.ErrorIs(t, err, verification.ErrNoTrustRoot,
		"a trust root that is gone is not one that accepts")

	require.NotEqual(t, keys, newVerifier(t, other.Config()).Identity(""))
	require.Equal(t, keys, newVerifier(t, key.Config()).Identity(""))
}

// BenchmarkWarmStart measures what verification adds to a start with a complete store.
func BenchmarkWarmStart(b *testing.B) {
	const policies = 22
	key := signing.NewKey(b)
	r := registry.Start(b, registry.Options{})
	store, err := module.OpenStore(filepath.Join(b.TempDir(), "modules"))
	require.NoError(b, err)
	ctx := klog.NewContext(b.Context(), logr.Discard())
	config, err := verification.ParseConfig([]byte(key.Config()))
	require.NoError(b, err)
	start := func(v module.Verifier) {
		f, err := module.NewFetcher(module.Options{
			MaxBytes: 1 << 20,
			Store:    store,
			Sources:  module.Sources{Insecure: []string{r.Host}},
			Verifier: v,
		})
		require.NoError(b, err)
		for n := range policies {
			_, err := f.Get(ctx,
				module.Request{URI: fmt.Sprintf("registry://%s/policy-%d:v1", r.Host, n)})
			require.NoError(b, err)
		}
	}
	for n := range policies {
		name := fmt.Sprintf("policy-%d", n)
		manifest := r.Push(b, name, "v1", append(wasm, name...))
		r.PushReferrer(b, name, manifest, registry.BundleMediaType, key.Bundle(b, manifest, nil))
	}
	v, err := modules.New(modules.Options{
		Checker:  sigstore.New(nil),
		Config:   config,
		Required: true,
	})
	require.NoError(b, err)
	start(v)
	for name, v := range map[string]module.Verifier{"verified": v, "unverified": nil} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				start(v)
			}
		})
	}
}
