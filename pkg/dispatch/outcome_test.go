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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// notes is a recorder that remembers everything.
type notes struct {
	mu          sync.Mutex
	evaluations []evaluation
	fuel        map[string]int64
	mutations   []string
	dropped     map[string]int
	exemptions  []string
}

// evaluation is a recorded evaluation without its duration.
type evaluation struct {
	policy, phase, operation string
	outcome                  verdict.Outcome
	rejected                 bool
}

func (n *notes) ObserveEvaluation(policy, phase, operation, outcome string, rejected bool,
	_ time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.evaluations = append(n.evaluations,
		evaluation{policy, phase, operation, verdict.Outcome(outcome), rejected})
}

func (n *notes) AddFuel(policy string, fuel int64) {
	if n.fuel == nil {
		n.fuel = map[string]int64{}
	}
	n.fuel[policy] += fuel
}

func (n *notes) CountMutation(policy, operation string) {
	n.mutations = append(n.mutations, policy+" "+operation)
}

func (n *notes) CountDroppedOutput(_, output string, count int) {
	if n.dropped == nil {
		n.dropped = map[string]int{}
	}
	n.dropped[output] += count
}

func (n *notes) CountExemption(phase, _ string) {
	n.exemptions = append(n.exemptions, phase)
}

// noting returns a fixture and its recorder.
func noting(t *testing.T, adjust ...func(*dispatch.Config)) (*fixture, *notes) {
	t.Helper()
	n := &notes{}
	return configured(t, func(c *dispatch.Config) {
		c.Recorder = n
		for _, a := range adjust {
			a(c)
		}
	}), n
}

// warned collects warnings.
type warned struct{ texts []string }

func (w *warned) AddWarning(_, text string) { w.texts = append(w.texts, text) }

func listening(t *testing.T) (context.Context, *warned) {
	t.Helper()
	w := &warned{}
	return warning.WithWarningRecorder(t.Context(), w), w
}

func guest(name, module string, adjust ...func(*wasmadmission.Policy)) func(*wasmadmission.Policy) {
	return func(p *wasmadmission.Policy) {
		policy(name, module)(p)
		for _, a := range adjust {
			a(p)
		}
	}
}

func soon(p *wasmadmission.Policy) { p.TimeoutEvalSeconds = new(int32(1)) }

// Monitor mode never rejects a request, but records everything.
func TestMonitor(t *testing.T) {
	broken := func(p *wasmadmission.Policy) {
		p.MatchConditions = []admissionregistrationv1.MatchCondition{{
			Name: "c", Expression: "object.data.missing == 'x'",
		}}
	}
	for _, test := range []struct {
		name    string
		policy  func(*wasmadmission.Policy)
		outcome verdict.Outcome
	}{
		{"accepts", guest("p", "accept", monitoring), verdict.Accepted},
		{"denies", guest("p", "deny", monitoring), verdict.Denied},
		{"traps", guest("p", "trap", monitoring), verdict.FailedClosed},
		{"traps and is ignored", guest("p", "trap", monitoring, ignoring), verdict.FailedOpen},
		{"answers nonsense", guest("p", "bad-json", monitoring), verdict.FailedClosed},
		{"takes too long", guest("p", "spin", monitoring, soon), verdict.FailedClosed},
		{"cannot be matched", guest("p", "deny", monitoring, broken), verdict.FailedClosed},
		{"mutates and may not", answers("p", wanting("", `{}`), monitoring, validating),
			verdict.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, noted := noting(t)
			f.use(t, test.policy)
			require.NoError(t, f.validate(t.Context(), somebody))
			require.Equal(t, []evaluation{{"p", "validate", "CREATE", test.outcome, false}},
				noted.evaluations)
		})
	}
}

func TestMonitorKeepsWarnings(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("p", `{"accepted":false,"message":"no","warnings":["mind this"]}`, monitoring,
		validating))
	ctx, warned := listening(t)
	require.NoError(t, f.validate(ctx, somebody))
	require.Equal(t, []string{"mind this"}, warned.texts)
}

func TestEvaluationsAreNoted(t *testing.T) {
	f, noted := noting(t)
	f.use(t, answers("m", wanting("", `{"a":"two"}`)), guest("d", "deny"))
	require.NoError(t, newConfigMap(t, admission.Update).by(t.Context(), f))
	require.Error(t, f.validate(t.Context(), somebody))
	require.Equal(t, []evaluation{
		{"m", "admit", "UPDATE", verdict.Accepted, false},
		{"d", "validate", "CREATE", verdict.Denied, true},
	}, noted.evaluations)
	require.Equal(t, []string{"m UPDATE"}, noted.mutations)
	require.Positive(t, noted.fuel["m"])
	require.Positive(t, noted.fuel["d"])
	once := noted.fuel["d"]
	require.Error(t, f.validate(t.Context(), somebody))
	require.Equal(t, 2*once, noted.fuel["d"], "the same for the same request")
}

// An exempt request is exempt in both phases, and each phase counts it once.
func TestExemptionsAreCounted(t *testing.T) {
	f, noted := noting(t, func(c *dispatch.Config) {
		c.Exemptions.Usernames = []string{"somebody"}
	})
	f.use(t, answers("m", `{"accepted":false}`), guest("d", "deny"))
	a := newConfigMap(t, admission.Create)
	require.NoError(t, a.by(t.Context(), f))
	reinvoke(t, a.attr)
	require.NoError(t, a.by(t.Context(), f))
	require.NoError(t, f.validate(t.Context(), somebody))
	require.Equal(t, []string{"admit", "validate"}, noted.exemptions)
}

// glass puts one policy into monitor mode and takes another out of it.
type glass struct{}

func (glass) Mode(policy string, configured wasmadmission.PolicyMode) wasmadmission.PolicyMode {
	switch policy {
	case "broken":
		return wasmadmission.ModeMonitor
	case "strict":
		return wasmadmission.ModeProtect
	}
	return configured
}

func TestOverrides(t *testing.T) {
	f := configured(t, func(c *dispatch.Config) { c.Overrides = glass{} })
	f.use(t, guest("broken", "trap"), guest("other", "accept"),
		guest("watched", "deny", monitoring))
	ctx, warned := listening(t)
	ctx, event := audited(ctx, t, "Metadata")
	require.NoError(t, f.validateAudited(ctx))
	require.Contains(t, warned.texts,
		`WasmAdmission policy "broken" is in mode monitor temporarily, not in mode protect`)
	require.Equal(t, "broken=monitor", event()["mode-override.wasm.admission.k8s.io/validate"])
	require.Equal(t, "broken", event()["failed-open.wasm.admission.k8s.io/validate"])

	f.use(t, guest("strict", "deny", monitoring), answers("broken", `{"accepted":false}`))
	require.Error(t, f.validate(t.Context(), somebody))
	ctx, event = audited(t.Context(), t, "Metadata")
	require.NoError(t, f.admitAudited(ctx, newConfigMap(t, admission.Create)))
	require.Equal(t, "broken=monitor",
		event()["mode-override.wasm.admission.k8s.io/mutate.round_0"])
}

// All policies together have a time limit, in addition to that of each policy.
func TestRequestTimeout(t *testing.T) {
	const limit = 50 * time.Millisecond
	budget := func(c *dispatch.Config) { c.RequestTimeout = limit }
	const names = "all policies together took longer than limits.requestTimeout allows for a request, 50ms"
	mutating := func(p *wasmadmission.Policy) { p.Mutating = true }

	f, _ := noting(t, budget)
	f.use(t, guest("a", "accept"), guest("s", "spin"), guest("t", "spin"))
	err := f.validate(t.Context(), somebody)
	var status *apierrors.StatusError
	require.ErrorAs(t, err, &status)
	require.EqualValues(t, http.StatusInternalServerError, status.ErrStatus.Code)
	require.Len(t, status.ErrStatus.Details.Causes, 2)
	for _, cause := range status.ErrStatus.Details.Causes {
		require.Contains(t, cause.Message, names)
		require.Contains(t, cause.Message,
			"Policy execution interrupted because it exceeded the allowed execution time")
	}

	// The next policy has no time left, and fails for that reason.
	f, noted := noting(t, budget)
	f.use(t, guest("a", "spin", mutating, ignoring), guest("b", "accept", mutating, ignoring),
		guest("c", "accept", mutating))
	err = newConfigMap(t, admission.Create).by(t.Context(), f)
	require.ErrorContains(t, err, `WasmAdmission policy "c" failed: `)
	require.ErrorContains(t, err, names)
	require.Len(t, noted.evaluations, 3)
	require.Equal(t, verdict.FailedOpen, noted.evaluations[1].outcome)
}

// A client decides how long its request may take. That must not let it bypass policies.
func TestRequestsThatEndEarly(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	mutating := func(p *wasmadmission.Policy) { p.Mutating = true }
	f.use(t, guest("s", "spin", ignoring), guest("m", "spin", ignoring, mutating))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.True(t, apierrors.IsTimeout(f.validate(ctx, somebody)))
	require.True(t, apierrors.IsTimeout(newConfigMap(t, admission.Create).by(ctx, f)))
}

// A namespaced policy evaluates requests for objects in its namespace, and no others.
func TestNamespacedPolicies(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{}) // which knows no namespaces
	everything := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{"*"},
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{"*"},
			APIVersions: []string{"*"},
			Resources:   []string{"*"},
		},
	}}
	f.use(t,
		guest("d", "deny", func(p *wasmadmission.Policy) {
			p.Namespace, p.Rules = "mine", everything
		}))
	for _, test := range []struct {
		namespace, resource string
		denied              bool
	}{
		{"mine", "configmaps", true},
		{"other", "configmaps", false},
		{"", "nodes", false},
		{"mine", "namespaces", false},
	} {
		object := &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Name: "any"},
		}
		attr := create(object, test.resource, somebody)
		err := f.dispatcher.Validate(t.Context(), attr,
			admission.NewObjectInterfacesFromScheme(scheme.Scheme))
		require.Equal(t, test.denied, err != nil, "%+v: %v", test, err)
	}
}
