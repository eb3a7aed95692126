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
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// short omits the managed fields for a policy.
func short(p *wasmadmission.Policy) {
	p.Review.Omit = []wasmadmission.OmittedField{wasmadmission.OmitManagedFields}
}

// managed returns a ConfigMap that has managed fields.
func managed(t *testing.T) *admitted {
	t.Helper()
	a := newConfigMap(t, admission.Create)
	fields := &metav1.FieldsV1{}
	fields.SetRawString(`{"f:data":{".":{},"f:a":{}}}`)
	a.object.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
		FieldsType: "FieldsV1", FieldsV1: fields,
	}}
	return a
}

// Policies that do not get all of the object can still change it, and the result is the same as if
// they did.
func TestOmittedFieldsComeBack(t *testing.T) {
	full, err := json.Marshal(managed(t).object.ManagedFields)
	require.NoError(t, err)
	for _, test := range []struct{ name, whole, short string }{
		{"nothing", `{"accepted":true}`, `{"accepted":true}`},
		{"the same object", wanting(`,"managedFields":`+string(full), `{"a":"one"}`),
			wanting("", `{"a":"one"}`)},
		{"null", wanting(`,"managedFields":`+string(full), `{"a":"one"}`),
			wanting(`,"managedFields":null`, `{"a":"one"}`)},
		{"another object",
			wanting(`,"labels":{"l":"2"},"managedFields":`+string(full), `{"a":"two"}`),
			wanting(`,"labels":{"l":"2"}`, `{"a":"two"}`)},
		{"a denial", `{"accepted":false,"message":"no"}`, `{"accepted":false,"message":"no"}`},
		{"another name",
			`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other","namespace":"ns"}}}`,
			`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other","namespace":"ns"}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{})
			run := func(response string,
				adjust ...func(*wasmadmission.Policy)) (*admitted, map[string]string, error) {
				f.use(t, answers("p", response, adjust...), wants("q", "kubectl"))
				a := managed(t)
				ctx, event := audited(t.Context(), t, auditinternal.LevelRequest)
				err := f.admitAudited(ctx, a)
				annotations := event()
				delete(annotations, evaluationsOf("mutate.round_0"))
				return a, annotations, err
			}
			whole, wholeAnnotations, wholeErr := run(test.whole)
			shortened, annotations, err := run(test.short, short)
			require.Equal(t, wholeErr, err)
			require.Equal(t, whole.object, shortened.object)
			require.Equal(t, wholeAnnotations, annotations)
		})
	}
}

// evaluationsOf is the key of the annotation with the evaluations of a phase.
func evaluationsOf(phase string) string { return "wasm.admission.k8s.io/" + phase }

// A policy does not get omitted fields of the object or the old object, and the audit event says
// so.
func TestPoliciesDoNotGetOmittedFields(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, wants("a", "kubectl", validating), wants("b", "any", validating, short))
	a, old := managed(t), managed(t)
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	validate := func(object, old runtime.Object) error {
		return admission.WithAudit(plugin{
			f.dispatcher,
		}).(admission.ValidationInterface).Validate(ctx,
			admission.NewAttributesRecord(object, old, a.object.GroupVersionKind(), "ns", "any",
				corev1.SchemeGroupVersion.WithResource("configmaps"), "", admission.Update, nil,
				false, somebody), a.o)
	}
	require.NoError(t, validate(a.object, old.object))
	require.Contains(t, event()[evaluationsOf("validate")], `"omits":["managedFields"]`)

	f.use(t, wants("b", "kubectl", validating, short))
	require.ErrorContains(t, validate(a.object, old.object), "the text is not in the request")
}

// A policy must not set a field that it cannot see.
func TestOmittedFieldsCannotBeSet(t *testing.T) {
	for _, test := range []struct{ response, err string }{
		{wanting(`,"managedFields":[]`, `{"a":"one"}`),
			"mutated object: sets metadata.managedFields, which review.omit keeps from the policy"},
		{wanting(`,"managed\u0046ields":[{"manager":"me"}]`, `{"a":"two"}`),
			"mutated object: sets metadata.managedFields"},
		{wanting(`,"managedFields":null,"managedFields":[]`, `{"a":"two"}`),
			"mutated object: has metadata or metadata.managedFields twice"},
		{`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"managedFields":[]},"metadata":{}}}`,
			"mutated object: has metadata or metadata.managedFields twice"},
		{`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap"}}`,
			"mutated object: has no metadata to put metadata.managedFields back into"},
		{`{"accepted":true,"mutated_object":{"apiVersion":"v1","kind":"ConfigMap","metadata":[]}}`,
			"mutated object: has no metadata"},
		{`{"accepted":true,"mutated_object":[]}`, "mutated object: has no metadata"},
	} {
		f := newFixture(t, wasmadmission.Exemptions{})
		f.use(t, answers("p", test.response, short))
		a := managed(t)
		require.ErrorContains(t, a.by(context.Background(), f), test.err)
		require.Equal(t, managed(t).object, a.object)
	}
}
