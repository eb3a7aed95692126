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

package policyset_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

var podRules = []admissionregistrationv1.RuleWithOperations{{
	Operations: []admissionregistrationv1.OperationType{"CREATE"},
	Rule: admissionregistrationv1.Rule{
		APIGroups:   []string{""},
		APIVersions: []string{"v1"},
		Resources:   []string{"pods"},
	},
}}

// told returns a member that does what the part of its name after the last underscore says. See
// test/wat/obedient.wat.
func told(from, name string) wasmadmission.PolicyGroupMember {
	return wasmadmission.PolicyGroupMember{
		Name:   name,
		Module: from + "/obedient.wasm",
		Settings: runtime.RawExtension{
			Raw: []byte(`{"tell":"do:` + name[strings.LastIndex(name, "_")+1:] + `"}`),
		},
	}
}

func groupConfiguration(expression string,
	members ...wasmadmission.PolicyGroupMember) *wasmadmission.WasmAdmissionConfiguration {
	slices.SortFunc(members, func(a, b wasmadmission.PolicyGroupMember) int {
		return strings.Compare(a.Name, b.Name)
	})
	config := configuration()
	config.Limits.GuestLogLinesPerSecond = 1000
	config.PolicyGroups = []wasmadmission.PolicyGroup{{
		Name: "g", Expression: expression, Message: "the group refuses", Policies: members,
		Rules:         podRules,
		FailurePolicy: admissionregistrationv1.Ignore, MatchPolicy: admissionregistrationv1.Exact,
		Mode: wasmadmission.ModeMonitor,
	}}
	return config
}

// loadGroup loads a configuration whose only policy is a group.
func loadGroup(t *testing.T, config *wasmadmission.WasmAdmissionConfiguration) *policyset.Policy {
	t.Helper()
	set, errs := newLoader(t).Load(t.Context(), config)
	require.Empty(t, errs)
	t.Cleanup(set.Close)
	require.Len(t, set.Policies(), 1)
	return set.Policies()[0]
}

// withLog returns a context with a recording logger, and a function that returns the policies that
// logged, in order.
func withLog(t *testing.T) (context.Context, func() []string) {
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	buffer := logger.GetSink().(ktesting.Underlier).GetBuffer()
	return klog.NewContext(t.Context(), logger), func() (policies []string) {
		for _, entry := range buffer.Data() {
			if entry.Message == "Policy log" {
				policies = append(policies, fmt.Sprint(entry.ParameterKVList[1]))
			}
		}
		return policies
	}
}

func TestMembersAreTraced(t *testing.T) {
	from := modules(t)
	p := loadGroup(t,
		groupConfiguration("x_d() || x_t() || x_a()", told(from, "x_a"), told(from, "x_d"),
			told(from, "x_t")))
	recorder := tracetest.NewSpanRecorder()
	ctx, request := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).
		Tracer("server").Start(t.Context(), "request")
	_, usage, err := p.Evaluate(ctx, []byte(`{"object":{}}`))
	require.NoError(t, err)
	require.Positive(t, usage.Reset)
	var members []string
	for _, span := range recorder.Ended() {
		require.Equal(t, spans.Member, span.Name())
		require.Equal(t, request.SpanContext().SpanID(), span.Parent().SpanID())
		require.Equal(t, spans.PolicyName, string(span.Attributes()[0].Key))
		members = append(members, span.Attributes()[0].Value.AsString()+" "+
			span.Status().Description)
	}
	require.Equal(t, []string{"g/x_d ", "g/x_t unreachable", "g/x_a "}, members)
}

func TestGroupVerdicts(t *testing.T) {
	from := modules(t)
	var members []wasmadmission.PolicyGroupMember
	for _, name := range []string{"x_a", "y_a", "x_d", "y_d", "x_t", "y_t", "x_e", "x_m", "x_w"} {
		members = append(members, told(from, name))
	}
	deny := wasmadmission.PolicyGroupMember{
		Name:     "deny",
		Module:   from + "/deny.wasm",
		Settings: runtime.RawExtension{Raw: []byte("{}")},
	}
	const trap, guestError = "wasm trap: unreachable", "Guest call failure: told to fail"
	const refused, mutation = "told to refuse", "mutation is not allowed inside of policy group"

	for expression, test := range map[string]struct {
		evaluated string            // the members that are evaluated, in order
		causes    map[string]string // by member; nil means that the group accepts
		failure   string            // the error if there is no verdict
	}{
		"x_a()":                   {evaluated: "x_a"},
		"x_d()":                   {evaluated: "x_d", causes: map[string]string{"x_d": refused}},
		"x_a() || x_t()":          {evaluated: "x_a"},
		"x_d() && x_t()":          {evaluated: "x_d", causes: map[string]string{"x_d": refused}},
		"x_d() || x_t() || x_a()": {evaluated: "x_d x_t x_a"},
		"x_t() && x_a()":          {evaluated: "x_t", causes: map[string]string{"x_t": trap}},
		"x_a() && (x_e() || x_m())": {
			evaluated: "x_a x_e x_m", causes: map[string]string{"x_e": guestError, "x_m": mutation},
		},
		"x_d() || deny()": {
			evaluated: "x_d",
			causes:    map[string]string{"deny": "denied by deny.wat", "x_d": refused},
		},
		// warnings and annotations of members are dropped
		"x_w()": {evaluated: "x_w"},
		"x_w() && x_d()": {
			evaluated: "x_w x_d", causes: map[string]string{"x_d": refused},
		},
		"x_a() && x_a()": {evaluated: "x_a x_a"},
		"x_d() || x_d()": {
			evaluated: "x_d x_d", causes: map[string]string{"x_d": refused},
		},
		"!x_d()":         {evaluated: "x_d"},
		"!x_a()":         {evaluated: "x_a", causes: map[string]string{}},
		"!x_m()":         {evaluated: "x_m"},
		"x_d() == y_d()": {evaluated: "x_d y_d"},
		"true || x_t()":  {},
		// If an expression is true only because members failed, the group has no verdict.
		"!x_t()": {
			evaluated: "x_t", failure: "true only because [x_t] failed",
		},
		"!(x_t() && x_a())": {
			evaluated: "x_t x_a", failure: "true only because [x_t] failed",
		},
		// The result is the same whatever x_t would have answered.
		"!(x_t() && x_d())": {evaluated: "x_t x_d"},
		"!x_t() || x_a()":   {evaluated: "x_t x_a"},
		"x_t() != x_a()": {
			evaluated: "x_t x_a", failure: "true only because [x_t] failed",
		},
		"x_t() == y_t()": {
			evaluated: "x_t y_t", failure: "true only because [x_t y_t] failed",
		},
		"x_t() == x_a()": {
			evaluated: "x_t x_a", causes: map[string]string{"x_t": trap},
		},
		"!(x_t() && (x_d() || x_a()))": {
			evaluated: "x_t x_d x_a", failure: "true only because [x_t] failed",
		},
		"!(x_t() && (x_e() || x_d())) || x_d()": {evaluated: "x_t x_e", failure: guestError},
	} {
		t.Run(expression, func(t *testing.T) {
			p := loadGroup(t,
				groupConfiguration(expression, append(slices.Clone(members), deny)...))
			ctx, evaluated := withLog(t)
			response, _, err := p.Evaluate(ctx, []byte("{}"))
			require.Equal(t, test.evaluated,
				strings.ReplaceAll(strings.Join(evaluated(), " "), "g/", ""))
			if test.failure != "" {
				var failed *policyset.EvaluationError
				require.ErrorAs(t, err, &failed)
				require.Equal(t, "g", failed.Policy)
				require.ErrorContains(t, err, "error evaluating policy group expression: ")
				require.ErrorContains(t, err, test.failure)
				return
			}
			require.NoError(t, err)
			if test.causes == nil {
				require.Equal(t, &abi.ValidationResponse{Accepted: true}, response)
				return
			}
			said := map[string]string{}
			for _, cause := range response.Causes {
				said[strings.TrimPrefix(cause.Field, "spec.policies.")] = cause.Message
			}
			require.Len(t, said, len(test.causes))
			for member, want := range test.causes {
				require.Contains(t, said[member], want)
			}
			require.Equal(t, &abi.ValidationResponse{
				Message: "the group refuses",
				Causes:  response.Causes,
			}, response)
		})
	}
}

// A member that returns the object unchanged does not mutate it.
func TestGroupMemberHandsBackTheObject(t *testing.T) {
	p := loadGroup(t, groupConfiguration("x_m()", told(modules(t), "x_m")))
	for request, accepted := range map[string]bool{
		`{"object":{"kind":"Mutated"}}`:                  true,
		`{"object":{ "kind" : "Mutated" }}`:              true,
		`{"object":{"kind":"Other"}}`:                    false,
		`{"oldObject":{"kind":"Mutated"}}`:               false,
		`{"object":{"kind":"Mutated","spec":{"n":1.0}}}`: false,
	} {
		response, _, err := p.Evaluate(t.Context(), []byte(request))
		require.NoError(t, err)
		require.Equal(t, accepted, response.Accepted, request)
	}
}

// A member may write numbers differently from the request, like any policy.
func TestGroupMemberRewritesNumbers(t *testing.T) {
	m := told(modules(t), "x_m")
	m.Module = strings.Replace(m.Module, "obedient", "answer", 1)
	m.Settings.Raw = []byte(`{"accepted":true,"mutated_object":{"n":1.0}}`)
	p := loadGroup(t, groupConfiguration("x_m()", m))
	for request, accepted := range map[string]bool{
		`{"object":{"n":1}}`:   true,
		`{"object":{"n":1e0}}`: true,
		`{"object":{"n":2}}`:   false,
		`{"object":{"n":"1"}}`: false,
	} {
		response, _, err := p.Evaluate(t.Context(), []byte(request))
		require.NoError(t, err)
		require.Equal(t, accepted, response.Accepted, request)
	}
}

func TestGroupTimeouts(t *testing.T) {
	from := modules(t)
	general := groupConfiguration("spins_s() || accepts_a()", told(from, "spins_s"),
		told(from, "accepts_a"))
	general.Limits.EvaluationTimeout = metav1.Duration{Duration: 20 * time.Millisecond}
	response, _, err := loadGroup(t, general).Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.True(t, response.Accepted)

	own := groupConfiguration("spins_s() && accepts_a()", told(from, "spins_s"),
		told(from, "accepts_a"))
	own.Limits.EvaluationTimeout = metav1.Duration{Duration: time.Hour}
	own.PolicyGroups[0].Policies[1].TimeoutEvalSeconds = new(int32(1))
	response, _, err = loadGroup(t, own).Evaluate(t.Context(), []byte("{}"))
	require.NoError(t, err)
	require.False(t, response.Accepted)
	require.Len(t, response.Causes, 1)
	require.Equal(t, "spec.policies.spins_s", response.Causes[0].Field)
	require.Contains(t, response.Causes[0].Message,
		"Policy execution interrupted because it exceeded the allowed execution time")
	require.Contains(t, response.Causes[0].Message, "execution deadline exceeded")

	// When the request's time is up, no member gets the blame and no other member is asked.
	p := loadGroup(t,
		groupConfiguration("spins_s() || accepts_a()", told(from, "spins_s"),
			told(from, "accepts_a")))
	ctx, evaluated := withLog(t)
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, _, err = p.Evaluate(ctx, []byte("{}"))
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	require.Equal(t, []string{"g/spins_s"}, evaluated())
}

// If a member gets no instance, the group has no verdict.
func TestGroupMemberIsNotStarted(t *testing.T) {
	from := modules(t)
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Limits:      engine.Limits{Instances: 1, Waiters: 1},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	config := groupConfiguration("spins_s() || accepts_a()", told(from, "spins_s"),
		told(from, "accepts_a"))
	set, errs := (&policyset.Loader{Engine: e}).Load(t.Context(), config)
	require.Empty(t, errs)
	defer set.Close()

	// One evaluation runs, one waits, and the third is rejected.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errors := make(chan error, 3)
	for range cap(errors) {
		go func() {
			_, _, err := set.Policies()[0].Evaluate(ctx, []byte("{}"))
			errors <- err
		}()
	}
	require.Equal(t, engine.CauseShed, engine.CauseOf(<-errors))
	cancel()
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(<-errors))
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(<-errors))
}

func TestGroupIsAPolicy(t *testing.T) {
	from := modules(t)
	config := groupConfiguration("b() || a()",
		wasmadmission.PolicyGroupMember{
			Name:     "a",
			Module:   from + "/accept.wasm",
			Settings: runtime.RawExtension{Raw: []byte("{}")},
		},
		wasmadmission.PolicyGroupMember{
			Name:     "b",
			Module:   from + "/deny.wasm",
			Settings: runtime.RawExtension{Raw: []byte(`{"b":1}`)},
		})
	config.PolicyGroups[0].MatchConditions = []admissionregistrationv1.MatchCondition{{
		Name: "m", Expression: "true",
	}}
	config.Policies = []wasmadmission.Policy{{Name: "z", Module: from + "/accept.wasm"},
		{Name: "a", Module: from + "/deny.wasm"}}
	set, errs := newLoader(t).Load(t.Context(), config)
	require.Empty(t, errs)
	defer set.Close()
	policies := set.Policies()
	require.Equal(t, []string{"a", "g", "z"},
		[]string{policies[0].Name(), policies[1].Name(), policies[2].Name()})
	require.Equal(t, &wasmadmission.Policy{
		Name: "g", Rules: podRules, FailurePolicy: admissionregistrationv1.Ignore,
		MatchPolicy:     admissionregistrationv1.Exact,
		Mode:            wasmadmission.ModeMonitor,
		MatchConditions: config.PolicyGroups[0].MatchConditions,
	}, policies[1].Spec())

	// Anyone can compute these hashes.
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	accept, deny := strings.TrimPrefix(policies[2].Digest(), "sha256:"),
		strings.TrimPrefix(policies[0].Digest(), "sha256:")
	require.Equal(t, "sha256:"+sum(accept+"  a\n"+deny+"  b\n"), policies[1].Digest())
	require.Equal(t,
		sum(sum("b() || a()")+"  expression\n"+sum("{}")+"  spec.policies.a.settings\n"+
			sum(`{"b":1}`)+"  spec.policies.b.settings\n"),
		policies[1].SettingsHash())
}

func TestLoadFindsAllProblemsOfGroups(t *testing.T) {
	from := modules(t)
	plain := func(name, module string) wasmadmission.PolicyGroupMember {
		return wasmadmission.PolicyGroupMember{
			Name:     name,
			Module:   from + "/" + module,
			Settings: runtime.RawExtension{Raw: []byte("{}")},
		}
	}
	config := groupConfiguration("fine() || absent()", plain("digest", "accept.wasm"),
		plain("fine", "accept.wasm"), plain("missing", "nowhere.wasm"),
		plain("settings", "settings-refused.wasm"))
	config.PolicyGroups[0].Policies[0].Digest = "sha256:00"
	config.PolicyGroups[0].Rules = nil
	config.PolicyGroups = append(config.PolicyGroups,
		groupConfiguration("fine()", plain("fine", "accept.wasm")).PolicyGroups[0])
	config.PolicyGroups[1].Name = "h"
	config.Policies = []wasmadmission.Policy{{Name: "p", Module: from + "/accept.wasm"},
		{Name: "q", Module: from + "/absent.wasm"}}
	set, errs := newLoader(t).Load(t.Context(), config)
	require.Nil(t, set)
	require.Len(t, errs, 6)
	for n, want := range []string{
		"policies[q].module: Invalid value: ",
		"policyGroups[g].policies[digest].digest: Invalid value: ",
		"policyGroups[g].policies[missing].module: Invalid value: ",
		"policyGroups[g].policies[settings].settings: Invalid value: the policy refuses these settings: ",
		"policyGroups[g].rules: Required value: ",
		`policyGroups[g].expression: Invalid value: "fine() || absent()": `,
	} {
		require.ErrorContains(t, errs[n], want)
	}
}
