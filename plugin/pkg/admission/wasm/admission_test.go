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

package wasm

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	basefeaturegate "k8s.io/component-base/featuregate"

	"github.com/wasm-admission/wasm-admission/featuregate"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// apiserver initializes plugins like an apiserver.
type apiserver struct {
	gates   basefeaturegate.MutableVersionedFeatureGate
	drained <-chan struct{}
	without string // the part that it does not provide
}

func newApiserver(t *testing.T, gate bool) *apiserver {
	t.Helper()
	gates := basefeaturegate.NewVersionedFeatureGate(version.MustParse("1.37"))
	require.NoError(t, featuregate.Add(gates))
	require.NoError(t, gates.SetFromMap(map[string]bool{string(featuregate.WasmAdmission): gate}))
	return &apiserver{gates: gates, drained: t.Context().Done()}
}

// Initialize implements [admission.PluginInitializer].
func (a *apiserver) Initialize(p admission.Interface) {
	plugin := p.(*plugin)
	client := fake.NewClientset()
	plugin.InspectFeatureGates(a.gates)
	if a.without != "drained" {
		plugin.SetDrainedNotification(a.drained)
	}
	if a.without != "excluded" {
		plugin.SetExcludedAdmissionResources(
			[]schema.GroupResource{{Group: "authentication.k8s.io", Resource: "tokenreviews"}})
	}
	if a.without != "client" {
		plugin.SetExternalKubeClientSet(client)
	}
	if a.without != "dynamic client" {
		plugin.SetDynamicClient(dynamicfake.NewSimpleDynamicClient(scheme.Scheme))
	}
	if a.without != "informers" {
		plugin.SetExternalKubeInformerFactory(informers.NewSharedInformerFactory(client, 0))
	}
	if a.without != "authorizer" {
		plugin.SetUnconditionalAuthorizer(authorizerfactory.NewAlwaysAllowAuthorizer())
	}
}

// start creates a plugin with a configuration. "" means none.
func (a *apiserver) start(plugins *admission.Plugins, config string) (*plugin, error) {
	var reader io.Reader
	if config != "" {
		reader = strings.NewReader(config)
	}
	p, err := plugins.InitPlugin(PluginName, reader, a)
	if err != nil {
		return nil, err
	}
	return p.(*plugin), nil
}

// configuration returns a configuration with a guest of test/wat as its policy.
func configuration(t *testing.T, guest string) string {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "test", "wat", guest+".wasm"))
	require.NoError(t, err)
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	path := filepath.Join(directory, guest+".wasm")
	require.NoError(t, os.WriteFile(path, wasm, 0o600))
	return `{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"stateDirectory": "` + directory + `/state",
		"policies": [{"name": "p", "module": "file://` + path + `"}]}`
}

func createConfigMap(t *testing.T, p *plugin) error {
	t.Helper()
	object := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"},
	}
	require.True(t, p.Handles(admission.Create))
	return p.Validate(t.Context(),
		admission.NewAttributesRecord(object, nil, object.GroupVersionKind(), "ns", "any",
			corev1.SchemeGroupVersion.WithResource("configmaps"), "", admission.Create,
			&metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "somebody"}),
		admission.NewObjectInterfacesFromScheme(scheme.Scheme))
}

func newPlugins() *admission.Plugins {
	plugins := admission.NewPlugins()
	Register(plugins)
	return plugins
}

func TestGateOffIsInert(t *testing.T) {
	p, err := newApiserver(t, false).start(newPlugins(), "")
	require.NoError(t, err)
	require.NoError(t, createConfigMap(t, p))
}

func TestGateOffRefusesAConfiguration(t *testing.T) {
	_, err := newApiserver(t, false).start(newPlugins(), configuration(t, "deny"))
	require.ErrorContains(t, err,
		"a configuration for admission plugin WasmAdmission is given, but feature gate WasmAdmission is off: add --feature-gates=WasmAdmission=true or remove the configuration")
}

func TestGateOnWithoutPoliciesAdmits(t *testing.T) {
	p, err := newApiserver(t, true).start(newPlugins(), "")
	require.NoError(t, err)
	require.NoError(t, createConfigMap(t, p))
}

func TestGateOnEnforces(t *testing.T) {
	plugins := admission.NewPlugins()
	checks := Register(plugins)
	require.Equal(t, "wasm-admission", checks[0].Name())
	require.Equal(t, "wasm-admission-policies", checks[1].Name())
	p, err := newApiserver(t, true).start(plugins, configuration(t, "deny"))
	require.NoError(t, err)
	require.ErrorContains(t, createConfigMap(t, p),
		`WasmAdmission policy "p" denied the request: denied by deny.wat`)
	for _, check := range checks {
		require.NoError(t, check.Check(nil))
	}
}

// A kube-apiserver consists of several servers with one plugin each.
func TestPluginsOfOneRegistrationSharePolicies(t *testing.T) {
	plugins, config := newPlugins(), configuration(t, "deny")
	first, err := newApiserver(t, true).start(plugins, config)
	require.NoError(t, err)
	second, err := newApiserver(t, true).start(plugins, config)
	require.NoError(t, err)
	require.NotSame(t, first.dispatcher, second.dispatcher)
	require.Same(t, first.server, second.server)
	require.Error(t, createConfigMap(t, second))

	_, err = newApiserver(t, true).start(plugins, configuration(t, "accept"))
	require.ErrorContains(t, err, "plugins of one registration must have the same configuration")
}

func TestEveryProblemIsReported(t *testing.T) {
	plugins := admission.NewPlugins()
	checks := Register(plugins)
	_, err := newApiserver(t, true).
		start(plugins,
			`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"policies": [{"name": "a", "module": "file:///no/where.wasm"}, {"name": "b", "module": "file:///no\twhere\n.wasm"}, {"name": "c", "mode": "audit", "module": "file:///a"}]}`)
	lines := strings.Split(err.Error(), "\n")
	require.GreaterOrEqual(t, len(lines), 2, err)
	for _, line := range lines {
		require.Regexp(t, `policies\[[bc]\]\.(module|mode): `, line)
	}
	require.Error(t, checks[0].Check(nil))

	_, err = newApiserver(t, true).
		start(newPlugins(),
			`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"policies": [{"name": "a", "module": "file:///no/where.wasm"}, {"name": "b", "module": "file:///no/where/else.wasm"}]}`)
	require.Len(t, strings.Split(err.Error(), "\n"), 2)

	_, err = newApiserver(t, true).
		start(newPlugins(),
			`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"polices": [], "limits": {"hostCalls": 0}}`)
	require.ErrorContains(t, err,
		"unknown field \"polices\": correct its name or remove it\nlimits.hostCalls: Invalid value: 0: ")
}

// The injected checker checks signatures. Without one, no policy runs that demands signatures.
func TestSignaturesAreVerified(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	config := configuration(t, "deny")
	path, _, _ := strings.Cut(config[strings.Index(config, "file://")+len("file://"):], `"`)
	wasm, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".sigstore.json", key.FileBundle(t, wasm), 0o600))
	start := func(key *signing.Key, options ...Option) (*plugin, error) {
		plugins := admission.NewPlugins()
		Register(plugins, options...)
		return newApiserver(t, true).start(plugins,
			strings.Replace(config, "{", `{"verification": {"config": `+key.Config()+`},`, 1))
	}
	_, err = start(other, WithChecker(sigstore.ForConfiguration))
	require.ErrorContains(t, err, `policies[p].module: Invalid value: "file://`)
	require.ErrorContains(t, err, "no signature meets allOf[0] of verification.config")
	_, err = start(key)
	require.ErrorContains(t, err,
		"verification: this program was built without the code that verifies signatures")
	p, err := start(key, WithChecker(sigstore.ForConfiguration))
	require.NoError(t, err)
	require.ErrorContains(t, createConfigMap(t, p), "denied the request")
}

func TestEveryInitializerIsRequired(t *testing.T) {
	for _, without := range []string{
		"excluded", "drained", "client", "dynamic client", "informers", "authorizer",
	} {
		a := newApiserver(t, true)
		a.without = without
		_, err := a.start(newPlugins(), "")
		require.ErrorContains(t, err, "missing ", without)
	}
}
