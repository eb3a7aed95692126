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

package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// fixture is a dispatcher with a fake apiserver.
type fixture struct {
	dispatcher *dispatch.Dispatcher
	directory  string
	engine     *engine.Engine
}

func newFixture(t *testing.T, exemptions wasmadmission.Exemptions,
	objects ...runtime.Object) *fixture {
	t.Helper()
	return configured(t, func(c *dispatch.Config) { c.Exemptions = exemptions }, objects...)
}

// configured returns a fixture with an adjusted configuration.
func configured(t *testing.T, adjust func(*dispatch.Config), objects ...runtime.Object) *fixture {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	config := dispatch.Config{
		Client:     client,
		Informers:  factory,
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
		Excluded: []schema.GroupResource{{
			Group: "authentication.k8s.io", Resource: "tokenreviews",
		}},
	}
	adjust(&config)
	dispatcher, err := dispatch.New(config)
	require.NoError(t, err)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())

	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	t.Cleanup(dispatcher.Close)
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	return &fixture{dispatcher: dispatcher, directory: directory, engine: e}
}

// use makes the dispatcher use policies. Their names are those of guests in test/wat.
func (f *fixture) use(t *testing.T, specs ...func(*wasmadmission.Policy)) {
	t.Helper()
	set := f.load(t, specs...)
	t.Cleanup(set.Close)
	f.dispatcher.Use(set)
}

// load loads a set of such policies.
func (f *fixture) load(t *testing.T, specs ...func(*wasmadmission.Policy)) *policyset.Set {
	t.Helper()
	config := &wasmadmission.WasmAdmissionConfiguration{Limits: wasmadmission.Limits{
		ModuleSize: 1 << 20, RequestSize: 3 << 20, ResponseSize: 1 << 20,
		HostCallPayloadSize: 1 << 20,
		LogLineSize:         1 << 10, HostCalls: 10, GuestLogLinesPerSecond: 10,
	}}
	for _, adjust := range specs {
		policy := wasmadmission.Policy{
			Settings:      runtime.RawExtension{Raw: []byte("{}")},
			FailurePolicy: admissionregistrationv1.Fail,
			MatchPolicy:   admissionregistrationv1.Equivalent,
			Mode:          wasmadmission.ModeProtect,
		}
		adjust(&policy)
		wasm, err := os.ReadFile(filepath.Join("..", "..", "test", "wat", policy.Module+".wasm"))
		require.NoError(t, err)
		path := filepath.Join(f.directory, policy.Module+".wasm")
		require.NoError(t, os.WriteFile(path, wasm, 0o600))
		policy.Module = "file://" + path
		config.Policies = append(config.Policies, policy)
	}
	set, errs := (&policyset.Loader{Engine: f.engine}).Load(t.Context(), config)
	require.Empty(t, errs)
	return set
}

func policy(name, module string) func(*wasmadmission.Policy) {
	return func(p *wasmadmission.Policy) { p.Name, p.Module = name, module }
}

func create(object runtime.Object, resource string, who user.Info) admission.Attributes {
	accessor := object.(metav1.Object)
	object.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	return admission.NewAttributesRecord(object, nil, object.GetObjectKind().GroupVersionKind(),
		accessor.GetNamespace(), accessor.GetName(),
		corev1.SchemeGroupVersion.WithResource(resource), "", admission.Create,
		&metav1.CreateOptions{}, false, who)
}

func (f *fixture) validate(ctx context.Context, who user.Info) error {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"}}
	return f.dispatcher.Validate(ctx, create(object, "configmaps", who),
		admission.NewObjectInterfacesFromScheme(scheme.Scheme))
}

var somebody = &user.DefaultInfo{Name: "somebody", Groups: []string{"people"}}

func TestVerdicts(t *testing.T) {
	for _, test := range []struct {
		name     string
		policies []func(*wasmadmission.Policy)
		code     int32
		message  string
		causes   []metav1.StatusCause
	}{
		{name: "no policies"},
		{name: "accepted", policies: []func(*wasmadmission.Policy){policy("a", "accept")}},
		{
			name:     "denied",
			policies: []func(*wasmadmission.Policy){policy("a", "accept"), policy("d", "deny")},
			code:     451,
			message:  `WasmAdmission policy "d" denied the request: denied by deny.wat`,
			causes:   []metav1.StatusCause{{Field: "policies[d]", Message: "denied by deny.wat"}},
		},
		{
			name: "with a message of the configuration",
			policies: []func(*wasmadmission.Policy){func(p *wasmadmission.Policy) {
				policy("d", "deny")(p)
				p.Message = "not today"
			}},
			code: 451, message: `WasmAdmission policy "d" denied the request: not today`,
			causes: []metav1.StatusCause{{Field: "policies[d]", Message: "denied by deny.wat"}},
		},
		{
			name:     "denied twice, in the order of names",
			policies: []func(*wasmadmission.Policy){policy("z", "deny"), policy("a", "deny")},
			code:     451,
			message:  `WasmAdmission policy "a" denied the request: denied by deny.wat; WasmAdmission policy "z" denied the request: denied by deny.wat`,
			causes: []metav1.StatusCause{{Field: "policies[a]", Message: "denied by deny.wat"},
				{Field: "policies[z]", Message: "denied by deny.wat"}},
		},
		{
			name: "ignored", policies: []func(*wasmadmission.Policy){func(p *wasmadmission.Policy) {
				policy("t", "trap")(p)
				p.FailurePolicy = admissionregistrationv1.Ignore
			}},
		},
		{
			name:     "guest error",
			policies: []func(*wasmadmission.Policy){policy("g", "guest-error")},
			code:     500,
			message:  `WasmAdmission policy "g" failed: policy "g": Guest call failure: `,
		},
		{
			name:     "no response",
			policies: []func(*wasmadmission.Policy){policy("n", "no-response")},
			code:     500,
			message:  `WasmAdmission policy "n" failed: policy "n": Guest call failure: No error message OR response set for call success`,
		},
		{
			name: "no JSON", policies: []func(*wasmadmission.Policy){policy("j", "bad-json")},
			code:    500,
			message: `WasmAdmission policy "j" failed: policy "j": invalid response from policy: `,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{})
			f.use(t, test.policies...)
			err := f.validate(t.Context(), somebody)
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
			var status *apierrors.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, test.code, status.ErrStatus.Code)
			require.Equal(t, metav1.StatusFailure, status.ErrStatus.Status)
			if test.causes != nil {
				require.Equal(t, test.causes, status.ErrStatus.Details.Causes)
			}
		})
	}
}

func TestExemptions(t *testing.T) {
	exemptions := wasmadmission.Exemptions{
		Usernames:  []string{"root"},
		Groups:     []string{"admins"},
		Namespaces: []string{"ns"},
	}
	for _, test := range []struct {
		name       string
		exemptions wasmadmission.Exemptions
		who        *user.DefaultInfo
		exempt     bool
	}{
		{"nobody", wasmadmission.Exemptions{}, somebody, false},
		{"namespace", exemptions, somebody, true},
		{"user", wasmadmission.Exemptions{Usernames: []string{"root"}},
			&user.DefaultInfo{Name: "root"}, true},
		{"user of another name", wasmadmission.Exemptions{Usernames: []string{"root"}},
			&user.DefaultInfo{Name: "roo"}, false},
		{"group", wasmadmission.Exemptions{Groups: []string{"admins"}},
			&user.DefaultInfo{Name: "a", Groups: []string{"b", "admins"}}, true},
		{"the apiserver's name without a UID", wasmadmission.Exemptions{},
			&user.DefaultInfo{Name: user.APIServerUser}, false},
		{"the apiserver's name, UID and groups", wasmadmission.Exemptions{},
			&user.DefaultInfo{
				Name:   user.APIServerUser,
				UID:    "known",
				Groups: []string{user.AllAuthenticated, user.SystemPrivilegedGroup},
			}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, test.exemptions)
			f.use(t, policy("d", "deny"))
			if err := f.validate(t.Context(), test.who); test.exempt {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
		})
	}
}

func TestExcludedResourcesAreNeverEvaluated(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, func(p *wasmadmission.Policy) {
		policy("d", "deny")(p)
		p.Rules = []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{"*"},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{"*"},
				APIVersions: []string{"*"},
				Resources:   []string{"*/*"},
			},
		}}
	})
	review := &authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
	}
	attr := admission.NewAttributesRecord(review, nil, review.GroupVersionKind(), "", "",
		authenticationv1.SchemeGroupVersion.WithResource("tokenreviews"), "", admission.Create,
		&metav1.CreateOptions{}, false, somebody)
	require.NoError(t,
		f.dispatcher.Validate(t.Context(), attr,
			admission.NewObjectInterfacesFromScheme(scheme.Scheme)))
	require.Error(t, f.validate(t.Context(), somebody))
}

func TestNamespaceSelector(t *testing.T) {
	selects := func(p *wasmadmission.Policy) {
		policy("d", "deny")(p)
		p.NamespaceSelector = &metav1.LabelSelector{
			MatchLabels: map[string]string{"guarded": "yes"},
		}
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}

	f := newFixture(t, wasmadmission.Exemptions{}, namespace)
	f.use(t, selects)
	require.NoError(t, f.validate(t.Context(), somebody))

	namespace.Labels = map[string]string{"guarded": "yes"}
	f = newFixture(t, wasmadmission.Exemptions{}, namespace)
	f.use(t, selects)
	require.Error(t, f.validate(t.Context(), somebody))

	f = newFixture(t, wasmadmission.Exemptions{})
	f.use(t, selects)
	require.True(t, apierrors.IsNotFound(f.validate(t.Context(), somebody)),
		"as a webhook's, a request for a namespace that is not there fails")
}

// A policy with a namespace selector must not be skipped while namespaces are not known.
func TestNamespacesThatAreNotKnownYet(t *testing.T) {
	client := fake.NewClientset()
	dispatcher, err := dispatch.New(dispatch.Config{
		Client:     client,
		Informers:  informers.NewSharedInformerFactory(client, 0), // never started
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
	})
	require.NoError(t, err)
	t.Cleanup(dispatcher.Close)
	f := newFixture(t, wasmadmission.Exemptions{})
	f.dispatcher = dispatcher
	f.use(t, func(p *wasmadmission.Policy) {
		policy("d", "deny")(p)
		p.NamespaceSelector = &metav1.LabelSelector{
			MatchLabels: map[string]string{"guarded": "yes"},
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = f.validate(ctx, somebody)
	var status *apierrors.StatusError
	require.ErrorAs(t, err, &status)
	require.EqualValues(t, http.StatusForbidden, status.ErrStatus.Code)
	require.ErrorContains(t, err, "not yet ready to handle request")
}

func TestNewRequiresEverything(t *testing.T) {
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	for _, config := range []dispatch.Config{
		{Informers: factory, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer()},
		{Client: client, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer()},
		{Client: client, Informers: factory},
	} {
		_, err := dispatch.New(config)
		require.ErrorContains(t, err, "dispatch: missing ")
	}
}

// countedConfigMap counts how often it is encoded as JSON.
type countedConfigMap struct {
	*corev1.ConfigMap
	encodings *atomic.Int64
}

func (c countedConfigMap) MarshalJSON() ([]byte, error) {
	c.encodings.Add(1)
	return json.Marshal(c.ConfigMap)
}

func (c countedConfigMap) DeepCopyObject() runtime.Object {
	return countedConfigMap{ConfigMap: c.DeepCopy(), encodings: c.encodings}
}

// The review is encoded once for any number of policies, as the encodings of its object show.
func TestARequestIsEncodedOnceForTenPolicies(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	var specs []func(*wasmadmission.Policy)
	for n := range 9 {
		specs = append(specs, policy(fmt.Sprintf("policy-%d", n), "accept"))
	}
	specs = append(specs, policy("refuses", "deny"))
	f.use(t, specs...)
	object := countedConfigMap{
		ConfigMap: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"}},
		encodings: new(atomic.Int64),
	}
	err := f.dispatcher.Validate(t.Context(), create(object, "configmaps", somebody),
		admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	require.ErrorContains(t, err, `"refuses"`, "the policies were not asked")
	require.EqualValues(t, 1, object.encodings.Load())
}
