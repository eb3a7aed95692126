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

package assembly

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

const keyless = `{"apiVersion": "v1", "allOf": [{"kind": "githubAction", "owner": "kubewarden"}]}`

// verified is a configuration with one policy from a registry, one from a file and one from a
// manifest.
type verified struct {
	registry *registry.Registry
	manifest string
	path     string
	config   *wasmadmission.WasmAdmissionConfiguration
}

// newVerified returns a configuration whose modules are signed with key.
func newVerified(t *testing.T, key *signing.Key) *verified {
	t.Helper()
	accept, err := os.ReadFile(filepath.Join("..", "..", "test", "wat", "accept.wasm"))
	require.NoError(t, err)
	v := &verified{
		registry: registry.Start(t, registry.Options{}),
		path:     filepath.Join(t.TempDir(), "accept.wasm"),
	}
	v.manifest = v.registry.Push(t, "accept", "v1", accept)
	v.registry.PushReferrer(t, "accept", v.manifest, registry.BundleMediaType,
		key.Bundle(t, v.manifest, nil))
	require.NoError(t, os.WriteFile(v.path, accept, 0o600))
	require.NoError(t, os.WriteFile(v.path+".sigstore.json", key.FileBundle(t, accept), 0o600))
	rules :=
		[]admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{"CREATE"},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{""},
				APIVersions: []string{"v1"},
				Resources:   []string{"pods"},
			}}}
	v.config = configuration(t,
		wasmadmission.Policy{
			Name:   "pulled",
			Module: "registry://" + v.registry.Host + "/accept:v1",
			Rules:  rules,
		},
		wasmadmission.Policy{Name: "local", Module: "file://" + v.path, Rules: rules})
	for n := range v.config.Policies { // a set that was kept is validated
		p := &v.config.Policies[n]
		p.FailurePolicy, p.MatchPolicy = admissionregistrationv1.Fail,
			admissionregistrationv1.Equivalent
		p.Mode, p.ReinvocationPolicy = wasmadmission.ModeProtect,
			admissionregistrationv1.IfNeededReinvocationPolicy
	}
	v.config.StateDirectory = filepath.Join(t.TempDir(), "state")
	v.config.PolicyDirectory = t.TempDir()
	v.config.Sources.Insecure = []string{v.registry.Host}
	require.NoError(t, os.WriteFile(filepath.Join(v.config.PolicyDirectory, "a.yaml"), []byte(`
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: a}
spec:
  module: file://`+v.path+`
  mutating: false
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
`), 0o600))
	v.demand(key.Config())
	return v
}

// demand demands a config for all modules.
func (v *verified) demand(config string) {
	v.config.Verification = &wasmadmission.Verification{
		Required: true,
		Config:   runtime.RawExtension{Raw: []byte(config)},
	}
}

// start loads the configuration and returns the error.
func (v *verified) start(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := New(ctx, v.config,
		Options{AdjustEngine: inProcess, NewChecker: sigstore.ForConfiguration})
	if err != nil {
		return err
	}
	m := a.Manager(reload.NewSource(v.config))
	var served *policyset.Set
	m.Subscribe(func(set *policyset.Set) { served = set })
	err = m.Start(ctx)
	served.Close()
	return errors.Join(err, a.Close())
}

func TestSignedPoliciesAreServed(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	v := newVerified(t, key)
	require.NoError(t, v.start(t))
	file := filepath.Join(t.TempDir(), "verification.yml")
	require.NoError(t, os.WriteFile(file, []byte(key.Config()), 0o600))
	v.config.Verification = &wasmadmission.Verification{
		Required:  true,
		File:      file,
		TrustRoot: wasmadmission.TrustRoot{PublicGood: true},
	}
	require.NoError(t, v.start(t))
	v.demand(other.Config())
	v.config.Verification.Required = false
	require.NoError(t, v.start(t), "it is required of none")
	v.config.Verification = nil
	v.config.Policies[0].Verification = &wasmadmission.PolicyVerification{
		Config: runtime.RawExtension{Raw: []byte(key.Config())},
	}
	require.NoError(t, v.start(t), "a policy may demand it alone")

	v.demand(key.Config())
	require.NoError(t, v.start(t))
	v.registry.Stop()
	require.NoError(t, v.start(t), "a restart needs no network")
}

func TestUnverifiedStartsAreRefused(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, v *verified)
		want  []string // a line each
	}{
		"foreign key": {func(_ *testing.T, v *verified) { v.demand(other.Config()) }, []string{
			`policies[pulled].module: Invalid value: "registry://`,
			`policies[local].module: Invalid value: "file://`,
			`a.yaml[1] ClusterAdmissionPolicy "a": spec.module: Invalid value: "file://`,
		}},
		"no bundle beside the file": {func(t *testing.T, v *verified) {
			t.Helper()
			require.NoError(t, os.Remove(v.path+".sigstore.json"))
		}, []string{`policies[local].module: `, `ClusterAdmissionPolicy "a": spec.module: `}},
		"the file changed": {func(t *testing.T, v *verified) {
			t.Helper()
			require.NoError(t, os.WriteFile(v.path, []byte("\x00asm\x01\x00\x00\x00"), 0o600))
		}, []string{`policies[local].module: `, `ClusterAdmissionPolicy "a": spec.module: `}},
		"the tag moved": {func(t *testing.T, v *verified) {
			t.Helper()
			v.registry.Push(t, "accept", "v1", []byte("\x00asm\x01\x00\x00\x00"))
		}, []string{`policies[pulled].module: `}},
		"a policy demands more": {func(_ *testing.T, v *verified) {
			v.config.Policies[1].Verification = &wasmadmission.PolicyVerification{
				Config: runtime.RawExtension{Raw: []byte(other.Config())},
			}
		}, []string{`policies[local].module: `}},
		"the registry is gone": {func(_ *testing.T, v *verified) { v.registry.Stop() },
			[]string{`policies[pulled].module: `}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerified(t, key)
			c.spoil(t, v)
			err := v.start(t)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(c.want), err)
			for n, want := range c.want {
				require.Contains(t, lines[n], want)
				if name != "the registry is gone" {
					require.Contains(t, lines[n], "not verified: sha256:")
					require.Contains(t, lines[n], "no signature meets allOf[0] of ")
				}
			}
		})
	}
}

func TestVerificationThatCannotBeDone(t *testing.T) {
	config := configuration(t)
	start := func(v *wasmadmission.Verification, newChecker CheckerFactory) error {
		config.Verification = v
		_, err := New(t.Context(), config, Options{AdjustEngine: inProcess, NewChecker: newChecker})
		return err
	}
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	identities := func(root wasmadmission.TrustRoot) *wasmadmission.Verification {
		return &wasmadmission.Verification{
			Required:  true,
			Config:    runtime.RawExtension{Raw: []byte(keyless)},
			TrustRoot: root,
		}
	}
	for name, c := range map[string]struct {
		v    *wasmadmission.Verification
		want string
	}{
		"no trust root": {identities(wasmadmission.TrustRoot{}),
			"verification: verification.config demands signatures by identities: there is no trust root to verify certificates by: set verification.trustRoot"},
		"no such trust root": {identities(wasmadmission.TrustRoot{File: "/nowhere/root.json"}),
			"verification.trustRoot: open /nowhere/root.json: lstat /nowhere"},
		"empty trust root": {identities(wasmadmission.TrustRoot{File: file("")}),
			"the trust root is empty"},
		"another file": {identities(wasmadmission.TrustRoot{File: file("{}")}),
			"the trust root has media type"},
		"no such config": {&wasmadmission.Verification{File: "/nowhere/config.yml"},
			"verification.file: open /nowhere/config.yml: lstat /nowhere"},
		"broken config": {&wasmadmission.Verification{
			File: file("apiVersion: v1\nallOf: []\nanyOf: {}\n"),
		},
			": allOf: is empty, which would demand nothing: write which signatures are demanded\nverification.file: "},
		"identities in files": {&wasmadmission.Verification{Required: true, File: file(keyless)},
			"there is no trust root to verify certificates by"},
		"a large config": {&wasmadmission.Verification{
			File: file(strings.Repeat("#", verification.MaxConfigBytes+1)),
		}, "at most 262144 are allowed"},
	} {
		require.ErrorContains(t, start(c.v, sigstore.ForConfiguration), c.want, name)
	}
	require.ErrorContains(t, start(&wasmadmission.Verification{}, nil),
		"verification: this program was built without the code that verifies signatures")
	config.Verification = nil
	config.PolicyGroups =
		[]wasmadmission.PolicyGroup{{Policies: []wasmadmission.PolicyGroupMember{{Verification: &wasmadmission.PolicyVerification{}}}}}
	require.ErrorContains(t, start(nil, nil),
		"this program was built without the code that verifies signatures",
		"that a member of a group demands something is enough")
}

// A kept set cannot bypass verification. It is verified again with the evidence that was kept with
// it, which an attacker who can write the state directory cannot forge.
func TestTheLastGoodSetIsVerified(t *testing.T) {
	const refused = "the set that was served last cannot be served instead: policies[pulled].module: "
	key, other := signing.NewKey(t), signing.NewKey(t)
	v := newVerified(t, key)
	v.config.Reload.KeepLastGood = true
	require.NoError(t, v.start(t))
	require.NoError(t, os.Remove(v.path))
	require.NoError(t, v.start(t))

	v.demand(other.Config())
	err := v.start(t)
	require.ErrorContains(t, err, refused)
	require.ErrorContains(t, err, "no signature meets allOf[0]")

	v.demand(key.Config())
	path := filepath.Join(v.config.StateDirectory, "last-good", "policies.json")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	_, record, _ := strings.Cut(string(content), "\n")
	for name, forged := range map[string]string{
		"the evidence is another": regexp.MustCompile(`"evidence":"[^"]+"`).
			ReplaceAllString(record, `"evidence":"e30="`),
		"the evidence is gone": regexp.MustCompile(`,"evidence":"[^"]+"`).
			ReplaceAllString(record, ""),
		"the manifest is another": regexp.MustCompile(`"manifest":"[^"]+"`).
			ReplaceAllString(record, `"manifest":"e30="`),
	} {
		require.NotEqual(t, record, forged, name)
		require.NoError(t, os.WriteFile(path, []byte(digest([]byte(forged))+"\n"+forged), 0o600))
		require.ErrorContains(t, v.start(t), refused, name)
	}
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.NoError(t, os.RemoveAll(filepath.Join(v.config.StateDirectory, "modules")))
	v.registry.Stop()
	require.NoError(t, v.start(t), "nothing else is needed")
}
