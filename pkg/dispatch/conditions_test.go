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
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// under adds match conditions to a policy.
func under(expressions ...string) func(*wasmadmission.Policy) {
	return func(p *wasmadmission.Policy) {
		for n, expression := range expressions {
			name := string(rune('a' + n))
			p.MatchConditions = append(p.MatchConditions,
				admissionregistrationv1.MatchCondition{Name: name, Expression: expression})
		}
	}
}

// namespaceObject is the same as in a ValidatingAdmissionPolicy.
func TestConditionsOnTheNamespace(t *testing.T) {
	namespace := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"guarded": "yes"}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
	everything := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{"*"},
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{"*"},
			APIVersions: []string{"*"},
			Resources:   []string{"*"},
		},
	}}
	typeMeta := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: "v1", Kind: kind}
	}
	configMap := &corev1.ConfigMap{
		TypeMeta:   typeMeta("ConfigMap"),
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"},
	}
	type client interface {
		runtime.Object
		metav1.Object
	}
	for _, test := range []struct {
		name, expression string
		object           client
		resource         string
		denied           bool
	}{
		{"a label", "namespaceObject.metadata.labels.guarded == 'yes'", configMap, "configmaps",
			true},
		{"another label", "has(namespaceObject.metadata.labels.other)", configMap, "configmaps",
			false},
		{"its name and phase",
			"namespaceObject.metadata.name == 'ns' && namespaceObject.status.phase == 'Active'",
			configMap, "configmaps", true},
		{"none for what is in none", "namespaceObject == null",
			&corev1.Node{TypeMeta: typeMeta("Node")}, "nodes", true},
		{"none for a namespace", "namespaceObject == null",
			&corev1.Namespace{
				TypeMeta:   typeMeta("Namespace"),
				ObjectMeta: metav1.ObjectMeta{Name: "ns"},
			}, "namespaces", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{}, namespace)
			f.use(t,
				guest("d", "deny", under(test.expression), func(p *wasmadmission.Policy) {
					p.Rules = everything
				}))
			of := test.object.GetNamespace()
			if test.resource == "namespaces" {
				of = test.object.GetName() // like the apiserver
			}
			attr := admission.NewAttributesRecord(test.object, nil,
				test.object.GetObjectKind().GroupVersionKind(), of, test.object.GetName(),
				corev1.SchemeGroupVersion.WithResource(test.resource), "", admission.Create,
				&metav1.CreateOptions{}, false, somebody)
			err := f.dispatcher.Validate(t.Context(), attr,
				admission.NewObjectInterfacesFromScheme(scheme.Scheme))
			if !test.denied {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, `WasmAdmission policy "d" denied the request`)
		})
	}
}

// A failed lookup of the namespace admits nobody, as with a namespace selector.
func TestConditionsWithMissingNamespace(t *testing.T) {
	f, noted := noting(t)
	f.use(t, guest("d", "deny", under("namespaceObject.metadata.name == 'ns'"), ignoring))
	err := f.validate(t.Context(), somebody)
	require.True(t, apierrors.IsNotFound(err))
	require.ErrorContains(t, err, `WasmAdmission policy "d" failed: `)
	require.Equal(t, verdict.FailedClosed, noted.evaluations[0].outcome)
}

const noSuchKey = `policy "p": evaluating the match conditions: expression 'object.data.missing == 'x'' resulted in error: no such key: data`

// A condition that fails is reported everywhere as a failed evaluation.
func TestConditionsThatFail(t *testing.T) {
	broken := under("object.data.missing == 'x'")
	for _, test := range []struct {
		name    string
		adjust  []func(*wasmadmission.Policy)
		outcome verdict.Outcome
		denied  bool
	}{
		{"Fail", nil, verdict.FailedClosed, true},
		{"Ignore", []func(*wasmadmission.Policy){ignoring}, verdict.FailedOpen, false},
		{"Fail in monitor mode", []func(*wasmadmission.Policy){monitoring}, verdict.FailedClosed,
			false},
		{"Ignore in monitor mode", []func(*wasmadmission.Policy){monitoring, ignoring},
			verdict.FailedOpen, false},
	} {
		for _, phase := range []string{"validate", "admit"} {
			t.Run(test.name+" "+phase, func(t *testing.T) {
				f, noted := noting(t)
				f.use(t,
					guest("p", "deny",
						append(test.adjust, broken, func(p *wasmadmission.Policy) {
							p.Mutating = phase == "admit"
						})...))
				ctx, warned := listening(t)
				ctx, event := audited(ctx, t, auditinternal.LevelMetadata)
				err := f.inPhase(ctx, t, phase)
				require.Equal(t, []evaluation{{"p", phase, "CREATE", test.outcome, test.denied}},
					noted.evaluations)
				name := map[string]string{"validate": "validate", "admit": "mutate.round_0"}[phase]
				recorded := decodeProvenance(t, event()["wasm.admission.k8s.io/"+name])
				require.Len(t, recorded.Policies, 1)
				require.Equal(t, "failed", recorded.Policies[0]["verdict"])
				if test.denied {
					var status *apierrors.StatusError
					require.ErrorAs(t, err, &status)
					require.EqualValues(t, http.StatusInternalServerError, status.ErrStatus.Code)
					require.Equal(t, `WasmAdmission policy "p" failed: `+noSuchKey,
						status.ErrStatus.Message)
					require.Equal(t,
						[]metav1.StatusCause{{Field: "policies[p]", Message: noSuchKey}},
						status.ErrStatus.Details.Causes)
					return
				}
				require.NoError(t, err)
				require.Len(t, warned.texts, 1)
				require.Contains(t, warned.texts[0],
					`WasmAdmission policy "p" failed and was ignored: policy "p": evaluating the match conditions: `)
				require.Equal(t, "p", event()["failed-open.wasm.admission.k8s.io/"+name])
			})
		}
	}
}

// inPhase sends an object without data through a phase.
func (f *fixture) inPhase(ctx context.Context, t *testing.T, phase string) error {
	t.Helper()
	if phase == "validate" {
		return f.validateAudited(ctx)
	}
	a := newConfigMap(t, admission.Create)
	a.object.Data = nil
	return f.admitAudited(ctx, a)
}

// Break-glass also works for a policy whose conditions fail.
func TestConditionsThatFailUnderBreakGlass(t *testing.T) {
	f := configured(t, func(c *dispatch.Config) { c.Overrides = glass{} })
	f.use(t, guest("broken", "deny", under("object.data.missing == 'x'")))
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	require.NoError(t, f.validateAudited(ctx))
	require.Equal(t, "broken", event()["failed-open.wasm.admission.k8s.io/validate"])
}

// One false condition decides, whatever the others do.
func TestAFalseConditionDecides(t *testing.T) {
	f, noted := noting(t)
	f.use(t, guest("p", "deny", under("object.data.missing == 'x'", "false")))
	require.NoError(t, f.validate(t.Context(), somebody))
	require.Empty(t, noted.evaluations)
}

// A request that ends during its conditions is rejected, even if their failure may be ignored.
func TestConditionsOfARequestThatHasEnded(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	// CEL checks the context every hundred iterations.
	f.use(t,
		guest("p", "deny", ignoring,
			under(
				"[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, a + b + c < 31)))")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, apierrors.IsTimeout(f.validate(ctx, somebody)))
}
