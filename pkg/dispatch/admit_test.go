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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// interfaces are the object interfaces of a server whose internal ConfigMaps are those of v1, with
// a default.
func interfaces(t *testing.T) admission.ObjectInterfaces {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	require.NoError(t,
		scheme.AddConversionFunc((*corev1.ConfigMap)(nil), (*corev1.ConfigMap)(nil),
			func(a, b any, _ conversion.Scope) error {
				a.(*corev1.ConfigMap).DeepCopyInto(b.(*corev1.ConfigMap))
				return nil
			}))
	scheme.AddTypeDefaultingFunc(&corev1.ConfigMap{}, func(object any) {
		if m := object.(*corev1.ConfigMap); m.Data["defaulted"] == "" && m.Data != nil {
			m.Data["defaulted"] = "yes"
		}
	})
	return admission.NewObjectInterfacesFromScheme(scheme)
}

// admitted is a ConfigMap in the mutating phase, which may take several rounds.
type admitted struct {
	object *corev1.ConfigMap
	attr   admission.Attributes
	o      admission.ObjectInterfaces
}

func newConfigMap(t *testing.T, operation admission.Operation) *admitted {
	t.Helper()
	a := &admitted{o: interfaces(t), object: &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"},
		Data:       map[string]string{"a": "one"},
	}}
	var object, old runtime.Object = a.object, nil
	if operation == admission.Delete {
		object, old = nil, a.object
	}
	a.attr = admission.NewAttributesRecord(object, old, a.object.GroupVersionKind(), "ns",
		a.object.Name, corev1.SchemeGroupVersion.WithResource("configmaps"), "", operation,
		&metav1.CreateOptions{}, false, somebody)
	return a
}

func (a *admitted) by(ctx context.Context, f *fixture) error {
	return f.dispatcher.Admit(ctx, a.attr, a.o)
}

// answers is a policy with a fixed answer that may mutate.
func answers(name, response string,
	adjust ...func(*wasmadmission.Policy)) func(*wasmadmission.Policy) {
	return func(p *wasmadmission.Policy) {
		policy(name, "answer")(p)
		p.Settings.Raw = []byte(response)
		p.Mutating = true
		for _, a := range adjust {
			a(p)
		}
	}
}

// wants is a policy that accepts requests that contain a text.
func wants(name, text string, adjust ...func(*wasmadmission.Policy)) func(*wasmadmission.Policy) {
	return func(p *wasmadmission.Policy) {
		answers(name, `{"text":"`+text+`"}`, adjust...)(p)
		p.Module = "contains"
	}
}

func ignoring(p *wasmadmission.Policy)   { p.FailurePolicy = admissionregistrationv1.Ignore }
func monitoring(p *wasmadmission.Policy) { p.Mode = wasmadmission.ModeMonitor }
func validating(p *wasmadmission.Policy) { p.Mutating = false }

// wanting returns a response with an object that has the metadata and data given as JSON.
func wanting(metadata, data string) string {
	return `{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"any","namespace":"ns"` +
		metadata + `},"data":` + data + `}}`
}

func TestAdmit(t *testing.T) {
	for _, test := range []struct {
		name      string
		policies  []func(*wasmadmission.Policy)
		operation admission.Operation
		err       string
		code      int32
		data      map[string]string
		labels    map[string]string
		reinvoke  bool
	}{
		{
			name: "nothing", policies: []func(*wasmadmission.Policy){
				answers("a", `{"accepted":true}`),
			}, data: map[string]string{"a": "one"},
		},
		{
			name: "the same object", policies: []func(*wasmadmission.Policy){
				answers("a", wanting("", `{"a":"one"}`)),
			}, data: map[string]string{"a": "one"},
		},
		{
			name: "the same object in other words",
			policies: []func(*wasmadmission.Policy){
				answers("a", wanting(`,"labels":{}`, `{"a":"one"}`)),
			},
			data:   map[string]string{"a": "one", "defaulted": "yes"},
			labels: map[string]string{},
		},
		{
			name: "another object, defaulted", policies: []func(*wasmadmission.Policy){
				answers("a", wanting(`,"labels":{"l":"2"}`, `{"a":"two"}`)),
			},
			data:   map[string]string{"a": "two", "defaulted": "yes"},
			labels: map[string]string{"l": "2"}, reinvoke: true,
		},
		{
			name: "an object without a kind",
			policies: []func(*wasmadmission.Policy){answers("a",
				`{"accepted":true,"mutated_object":{"metadata":{"name":"any","namespace":"ns"}}}`),
				answers("b", `{"accepted":false,"message":"it has one"}`,
					func(p *wasmadmission.Policy) {
						p.MatchConditions = []admissionregistrationv1.MatchCondition{{
							Name:       "c",
							Expression: "object.kind == 'ConfigMap' && object.apiVersion == 'v1'",
						}}
					})},
			err: `WasmAdmission policy "b" denied the request: it has one`, code: 400,
			reinvoke: true,
		},
		{
			name: "one after another by name", reinvoke: true,
			policies: []func(*wasmadmission.Policy){
				wants("c", "three"),
				answers("b", wanting("", `{"a":"three"}`)),
				answers("a", wanting("", `{"a":"two"}`)),
			},
			data: map[string]string{"a": "three", "defaulted": "yes"},
		},
		{
			name: "what the one before left", reinvoke: true,
			policies: []func(*wasmadmission.Policy){
				answers("a", wanting("", `{"a":"two"}`)),
				wants("b", "defaulted"),
			},
			data: map[string]string{"a": "two", "defaulted": "yes"},
		},
		{
			name: "what the one before left is selected by", reinvoke: true,
			policies: []func(*wasmadmission.Policy){
				answers("a", wanting(`,"labels":{"l":"2"}`, `{"a":"two"}`)),
				answers("b", `{"accepted":false,"message":"selected"}`,
					func(p *wasmadmission.Policy) {
						p.ObjectSelector = &metav1.LabelSelector{
							MatchLabels: map[string]string{"l": "2"},
						}
					}),
			},
			err: `WasmAdmission policy "b" denied the request: selected`, code: 400,
		},
		{
			name: "what the one before left fulfils a condition", reinvoke: true,
			policies: []func(*wasmadmission.Policy){
				answers("a", wanting("", `{"a":"two"}`)),
				answers("b", `{"accepted":false,"message":"matched"}`,
					func(p *wasmadmission.Policy) {
						p.MatchConditions = []admissionregistrationv1.MatchCondition{{
							Name: "c", Expression: "object.data.a == 'two'",
						}}
					}),
			},
			err: `WasmAdmission policy "b" denied the request: matched`, code: 400,
		},
		{
			name: "the first refusal ends it",
			policies: []func(*wasmadmission.Policy){
				answers("a",
					`{"accepted":false,"message":"first","code":403,"mutated_object":{"apiVersion":"v1","kind":"Nothing"}}`),
				answers("b", `{"accepted":false,"message":"second"}`),
			},
			err: `WasmAdmission policy "a" denied the request: first`, code: 403,
			data: map[string]string{"a": "one"},
		},
		{
			name: "monitored", policies: []func(*wasmadmission.Policy){
				answers("a", wanting("", `{"a":"two"}`), monitoring),
				answers("b", `{"accepted":false}`, monitoring),
			},
			data: map[string]string{"a": "one"},
		},
		{
			name: "validating policies are not asked", policies: []func(*wasmadmission.Policy){
				answers("a", `{"accepted":false}`, validating),
			},
			data: map[string]string{"a": "one"},
		},
		{
			name: "DELETE", operation: admission.Delete,
			policies: []func(*wasmadmission.Policy){answers("a", wanting("", `{}`))},
			err:      `WasmAdmission policy "a" denied the request: Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed`,
			code:     400,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.operation == "" {
				test.operation = admission.Create
			}
			f := newFixture(t, wasmadmission.Exemptions{})
			f.use(t, test.policies...)
			a := newConfigMap(t, test.operation)
			err := a.by(t.Context(), f)
			require.Equal(t, test.reinvoke, a.attr.GetReinvocationContext().ShouldReinvoke())
			if test.err != "" {
				var status *apierrors.StatusError
				require.ErrorAs(t, err, &status)
				require.Equal(t, test.err, status.ErrStatus.Message)
				require.Equal(t, test.code, status.ErrStatus.Code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.data, a.object.Data)
			require.Equal(t, test.labels, a.object.Labels)
		})
	}
}

// A policy that wants an impossible object has failed.
func TestImpossibleObjects(t *testing.T) {
	object := func(object string) string {
		return `{"accepted":true,"mutated_object":` + object + `}`
	}
	for _, test := range []struct{ name, response, err string }{
		{"another kind",
			object(
				`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"any","namespace":"ns"}}`),
			`mutated object: its kind is "Secret" of "v1", but the request has "ConfigMap" of "v1"`},
		{"another version",
			object(
				`{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"any","namespace":"ns"}}`),
			`mutated object: no kind "ConfigMap" is registered for version "v2"`},
		{"another name",
			object(
				`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other","namespace":"ns"}}`),
			`mutated object: its metadata.name is "other", but the request has "any"`},
		{"no name", object(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"ns"}}`),
			`mutated object: its metadata.name is ""`},
		{"another namespace",
			object(
				`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"any","namespace":"kube-system"}}`),
			`mutated object: its metadata.namespace is "kube-system", but the request has "ns"`},
		{"a field of another type", object(`{"apiVersion":"v1","kind":"ConfigMap","data":5}`),
			`mutated object: json: cannot unmarshal number`},
		{"an unknown field",
			object(
				`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"any","namespace":"ns","lables":{}},"data":{"a":"two"}}`),
			`mutated object: unknown field "metadata.lables"`},
		{"a field twice",
			object(
				`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"any","namespace":"ns"},"data":{"a":"two"},"data":{"a":"three"}}`),
			`mutated object: duplicate field "data"`},
		{"many unknown fields",
			object(
				`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"any","namespace":"ns"},"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}`),
			`unknown field "e", and 2 more`},
		{"no object", object(`["a"]`), `mutated object: `},
		{"a text", object(`"a"`), `mutated object: `},
		{"too deep", object(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)),
			"exceeded max depth"},
		{"too large", object(`"` + strings.Repeat("a", 1<<20) + `"`), "limit exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{})
			f.use(t, answers("m", test.response))
			a := newConfigMap(t, admission.Create)
			err := a.by(t.Context(), f)
			require.ErrorContains(t, err, `WasmAdmission policy "m" failed: `)
			require.ErrorContains(t, err, test.err)
			require.True(t, apierrors.IsInternalError(err))

			f.use(t, answers("m", test.response, ignoring))
			require.NoError(t, a.by(t.Context(), f))
			require.Equal(t, map[string]string{"a": "one"}, a.object.Data)
			require.False(t, a.attr.GetReinvocationContext().ShouldReinvoke())
		})
	}
}

// The configuration can ask to drop unknown fields. Then there is a warning.
func TestUnknownFieldsMayBeDropped(t *testing.T) {
	f, noted := noting(t, func(c *dispatch.Config) {
		c.UnknownFields = wasmadmission.UnknownFieldsWarn
	})
	f.use(t, answers("m", wanting(`,"lables":{"a":"b"}`, `{"a":"two"}`)))
	a := newConfigMap(t, admission.Create)
	ctx, warned := listening(t)
	require.NoError(t, a.by(ctx, f))
	require.Equal(t, map[string]string{"a": "two", "defaulted": "yes"}, a.object.Data)
	require.Equal(t, []string{
		`WasmAdmission policy "m": fields that it added were dropped: unknown field "metadata.lables"`,
	}, warned.texts)
	require.Equal(t, verdict.Accepted, noted.evaluations[0].outcome)
}

// Like a webhook, a mutating policy may name an object that is created without a name.
func TestNamesMayBeGiven(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("m", wanting("", `{}`)))
	a := newConfigMap(t, admission.Create)
	a.object.Name, a.object.GenerateName = "", "an"
	require.NoError(t, a.by(t.Context(), f))
	require.Equal(t, "any", a.object.Name)
}

func TestMutatingPoliciesAreNotAskedAgain(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("m", `{"accepted":false}`), answers("v", `{"accepted":true}`, validating))
	require.NoError(t, f.validate(t.Context(), somebody))
	require.Error(t, newConfigMap(t, admission.Create).by(t.Context(), f))
}

// A custom resource has no Go type. Its schema decides which fields it may have.
func TestCustomResources(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t,
		answers("m",
			`{"accepted":true,"mutated_object":{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","namespace":"ns","labels":{"l":"1"}},"spec":{"size":9007199254740993,"any":[null]}}}`,
			func(p *wasmadmission.Policy) {
				p.Rules = []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{"*"},
					Rule: admissionregistrationv1.Rule{
						APIGroups:   []string{"example.com"},
						APIVersions: []string{"v1"},
						Resources:   []string{"widgets"},
					},
				}}
			}))
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w", "namespace": "ns"},
		"spec":     map[string]any{"size": int64(1)},
	}}
	attr := admission.NewAttributesRecord(widget, nil, widget.GroupVersionKind(), "ns", "w",
		schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}, "",
		admission.Create, &metav1.CreateOptions{}, false, somebody)
	require.NoError(t, f.dispatcher.Admit(t.Context(), attr, interfaces(t)))
	require.Equal(t, map[string]any{"size": int64(9007199254740993), "any": []any{nil}},
		widget.Object["spec"])
	require.Equal(t, map[string]string{"l": "1"}, widget.GetLabels())
}

// Dry run changes nothing: a policy only affects the request.
func TestDryRun(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("a", `{"accepted":false}`, func(p *wasmadmission.Policy) {
		p.MatchConditions = []admissionregistrationv1.MatchCondition{{
			Name: "c", Expression: "!request.dryRun",
		}}
	}), answers("m", wanting("", `{"a":"two"}`)))
	a := newConfigMap(t, admission.Create)
	a.attr = admission.NewAttributesRecord(a.object, nil, a.object.GroupVersionKind(), "ns",
		a.object.Name, corev1.SchemeGroupVersion.WithResource("configmaps"), "", admission.Create,
		&metav1.CreateOptions{DryRun: []string{"All"}}, true, somebody)
	require.NoError(t, a.by(t.Context(), f))
	require.Equal(t, "two", a.object.Data["a"])
}

func TestReinvocation(t *testing.T) {
	never := func(p *wasmadmission.Policy) {
		p.ReinvocationPolicy = admissionregistrationv1.NeverReinvocationPolicy
	}
	change := answers("b", wanting("", `{"a":"two"}`))
	for _, test := range []struct {
		name     string
		policies []func(*wasmadmission.Policy)
		others   bool // others change the object between the rounds
		refused  bool // policy a rejects the changed object
	}{
		{"nothing changed", []func(*wasmadmission.Policy){wants("a", "one")}, false, false},
		{"others changed it", []func(*wasmadmission.Policy){wants("a", "one")}, true, true},
		{"never", []func(*wasmadmission.Policy){wants("a", "one", never)}, true, false},
		{"a later policy changed it", []func(*wasmadmission.Policy){wants("a", "one"), change},
			false, true},
		{"a later policy changed it, never",
			[]func(*wasmadmission.Policy){wants("a", "one", never), change}, false, false},
		{"an earlier policy changed it", []func(*wasmadmission.Policy){wants("c", "two"), change},
			false, false},
		{"it matches only now",
			[]func(*wasmadmission.Policy){answers("a", `{"accepted":false}`,
				func(p *wasmadmission.Policy) {
					p.MatchConditions = []admissionregistrationv1.MatchCondition{{
						Name: "c", Expression: "object.data.a != 'one'",
					}}
				}), change}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{})
			f.use(t, test.policies...)
			a := newConfigMap(t, admission.Create)
			require.NoError(t, a.by(t.Context(), f))
			if test.others {
				a.object.Data["a"] = "others"
			}
			reinvoke(t, a.attr)
			if err := a.by(t.Context(), f); test.refused {
				require.ErrorContains(t, err, `WasmAdmission policy "a" denied the request`)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// reinvoke begins the second round like the apiserver.
func reinvoke(t *testing.T, attr admission.Attributes) {
	t.Helper()
	context, ok := attr.GetReinvocationContext().(interface{ SetIsReinvoke() })
	require.True(t, ok)
	context.SetIsReinvoke()
}
