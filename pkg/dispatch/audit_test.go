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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
)

// audited returns a context with an audit event, and the event's annotations.
func audited(ctx context.Context, t *testing.T,
	level auditinternal.Level) (context.Context, func() map[string]string) {
	t.Helper()
	ctx = audit.WithAuditContext(ctx)
	event := audit.AuditContextFrom(ctx)
	require.NoError(t, event.Init(audit.RequestAuditConfig{Level: level}, nil))
	return ctx, event.GetEventAnnotations
}

// plugin calls a dispatcher like the apiserver.
type plugin struct{ *dispatch.Dispatcher }

func (plugin) Handles(admission.Operation) bool { return true }

func (f *fixture) validateAudited(ctx context.Context) error {
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"}}
	return admission.WithAudit(plugin{f.dispatcher}).(admission.ValidationInterface).
		Validate(ctx, create(object, "configmaps", somebody),
			admission.NewObjectInterfacesFromScheme(scheme.Scheme))
}

func (f *fixture) admitAudited(ctx context.Context, a *admitted) error {
	return admission.WithAudit(plugin{f.dispatcher}).(admission.MutationInterface).Admit(ctx,
		a.attr, a.o)
}

type provenance struct {
	Policies []map[string]any `json:"policies"`
	Omitted  int              `json:"omitted"`
}

func decodeProvenance(t *testing.T, text string) provenance {
	t.Helper()
	var p provenance
	require.NoError(t, json.Unmarshal([]byte(text), &p), text)
	return p
}

func TestProvenance(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, guest("a", "accept"), guest("d", "deny"), guest("m", "deny", monitoring),
		guest("t", "trap", ignoring), guest("unasked", "deny", func(p *wasmadmission.Policy) {
			p.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"no": "label"}}
		}))
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	require.Error(t, f.validateAudited(ctx))
	got := decodeProvenance(t, event()["wasm.admission.k8s.io/validate"])
	require.Len(t, got.Policies, 4)
	require.Zero(t, got.Omitted)
	settings := "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	for n, want := range []map[string]any{
		{"policy": "a", "mode": "protect", "verdict": "allowed"},
		{"policy": "d", "mode": "protect", "verdict": "denied", "message": "denied by deny.wat"},
		{"policy": "m", "mode": "monitor", "verdict": "denied", "message": "denied by deny.wat"},
		{"policy": "t", "mode": "protect", "verdict": "failed", "cause": "unreachable"},
	} {
		require.Regexp(t, "^sha256:[0-9a-f]{64}$", got.Policies[n]["module"])
		require.Positive(t, got.Policies[n]["fuel"])
		delete(got.Policies[n], "module")
		delete(got.Policies[n], "fuel")
		if want["verdict"] == "failed" {
			require.Contains(t, got.Policies[n]["message"], `policy "t": `)
			delete(got.Policies[n], "message")
		}
		want["index"], want["settings"] = float64(n), settings
		require.Equal(t, want, got.Policies[n])
	}
}

func TestProvenanceOfMutations(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("a", `{"accepted":true}`), answers("b", wanting("", `{"a":"two"}`)),
		answers("c", wanting("", `{"a":"three"}`), monitoring))
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	a := newConfigMap(t, admission.Create)
	require.NoError(t, f.admitAudited(ctx, a))
	first := decodeProvenance(t, event()["wasm.admission.k8s.io/mutate.round_0"])
	require.Len(t, first.Policies, 3)
	require.NotContains(t, first.Policies[0], "mutated")
	require.Equal(t, true, first.Policies[1]["mutated"])
	require.NotContains(t, first.Policies[2], "mutated")
	require.NotContains(t, event(), "patch.wasm.admission.k8s.io/round_0_index_1",
		"the level is too low")

	reinvoke(t, a.attr)
	require.NoError(t, f.admitAudited(ctx, a))
	second := decodeProvenance(t, event()["wasm.admission.k8s.io/mutate.round_1"])
	require.Len(t, second.Policies, 1, "only what was changed after it")
	require.Equal(t, "a", second.Policies[0]["policy"])
}

func TestProvenanceIsBounded(t *testing.T) {
	var policies []func(*wasmadmission.Policy)
	for n := range 80 {
		policies = append(policies,
			guest(fmt.Sprintf("p%02d-%s", n, strings.Repeat("long", 10)), "accept"))
	}
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, policies...)
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	require.NoError(t, f.validateAudited(ctx))
	text := event()["wasm.admission.k8s.io/validate"]
	require.LessOrEqual(t, len(text), 16<<10)
	got := decodeProvenance(t, text)
	require.Positive(t, got.Omitted)
	require.Equal(t, 80, len(got.Policies)+got.Omitted)
}

// The list of policies comes first. Messages are recorded as far as there is room.
func TestRecordedMessagesAreBounded(t *testing.T) {
	says := func(n, bytes int) func(*wasmadmission.Policy) {
		return answers(fmt.Sprintf("p%02d", n), `{"accepted":false,"message":"`+
			strings.Repeat("m", bytes)+`"}`, validating)
	}
	recorded := func(policies ...func(*wasmadmission.Policy)) provenance {
		f := newFixture(t, wasmadmission.Exemptions{})
		f.use(t, policies...)
		ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
		require.Error(t, f.validateAudited(ctx))
		return decodeProvenance(t, event()["wasm.admission.k8s.io/validate"])
	}
	got := recorded(says(0, 10_000))
	require.Equal(t, strings.Repeat("m", 512-3)+"…", got.Policies[0]["message"])

	var policies []func(*wasmadmission.Policy)
	for n := range 30 {
		policies = append(policies, says(n, 600))
	}
	got = recorded(policies...)
	require.Len(t, got.Policies, 30)
	require.Zero(t, got.Omitted)
	require.NotContains(t, got.Policies[0], "message")
}

func TestPatchesInTheAuditEvent(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("m", wanting(`,"labels":{"a/b":"1"}`, `{"a":"two"}`)))
	ctx, event := audited(t.Context(), t, auditinternal.LevelRequest)
	require.NoError(t, f.admitAudited(ctx, newConfigMap(t, admission.Create)))
	require.JSONEq(t, `{"policy":"m","patchType":"JSONPatch","patch":[
		{"op":"replace","path":"/data/a","value":"two"},
		{"op":"add","path":"/metadata/labels","value":{"a/b":"1"}}
	]}`, event()["patch.wasm.admission.k8s.io/round_0_index_0"])

	f.use(t, answers("m", wanting("", `{"a":"`+strings.Repeat("b", 300<<10)+`"}`)))
	ctx, event = audited(t.Context(), t, auditinternal.LevelRequestResponse)
	require.NoError(t, f.admitAudited(ctx, newConfigMap(t, admission.Create)))
	require.JSONEq(t, `{"policy":"m","omitted":"the patch is too large"}`,
		event()["patch.wasm.admission.k8s.io/round_0_index_0"])
}

func TestGuestAnnotations(t *testing.T) {
	f, noted := noting(t)
	f.use(t,
		answers("policy.example",
			`{"accepted":false,"audit_annotations":{"who":"me","no/name":"1","wasm.admission.k8s.io/validate":"2","":"3","-":"4","long":"`+
				strings.Repeat("5", 5<<10)+`"}}`, validating))
	ctx, event := audited(t.Context(), t, auditinternal.LevelMetadata)
	require.Error(t, f.validateAudited(ctx))
	annotations := event()
	delete(annotations, "wasm.admission.k8s.io/validate")
	require.Equal(t, map[string]string{"policy.example.policy.wasm.admission.k8s.io/who": "me"},
		annotations)
	require.Equal(t, map[string]int{"audit_annotation": 5}, noted.dropped)

	var many []string
	for n := range 1000 { // more than the limit of decoding
		many = append(many, fmt.Sprintf(`"key-%03d":"v"`, n))
	}
	f, noted = noting(t)
	long := strings.Repeat("n", 240)
	f.use(t,
		answers(long, `{"accepted":true,"audit_annotations":{`+strings.Join(many, ",")+`}}`,
			validating))
	ctx, event = audited(t.Context(), t, auditinternal.LevelMetadata)
	require.NoError(t, f.validateAudited(ctx))
	require.Len(t, event(), 16+1)
	require.Equal(t, 984, noted.dropped["audit_annotation"])
}

func TestDroppedWarningsAreCounted(t *testing.T) {
	f, noted := noting(t)
	f.use(t,
		answers("w", `{"accepted":true,"warnings":[`+strings.Repeat(`"w",`, 199)+`"w"]}`,
			validating))
	ctx, warned := listening(t)
	require.NoError(t, f.validate(ctx, somebody))
	require.Len(t, warned.texts, 16)
	require.Equal(t, map[string]int{"warning": 184}, noted.dropped)
}
