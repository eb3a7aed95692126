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
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
)

// These requests tell the guest obedient.wat what to do.
const (
	accept = `{}`
	refuse = `{"tell":"do:d"}`
	trap   = `{"tell":"do:t"}`
	spin   = `{"tell":"do:s"}`
	fail   = `{"tell":"do:e"}`
)

// guarded is a policy whose breaker opens after three failures.
type guarded struct {
	*policyset.Policy
	set      *policyset.Set
	clock    *clocktesting.FakePassiveClock
	registry componentmetrics.KubeRegistry
	recorder *metrics.Policies
	ctx      context.Context
	log      ktesting.Buffer
}

func newGuarded(t *testing.T, config *wasmadmission.WasmAdmissionConfiguration,
	changes ...func(*policyset.Loader)) *guarded {
	t.Helper()
	g := &guarded{
		clock:    clocktesting.NewFakePassiveClock(time.Now()),
		registry: componentmetrics.NewKubeRegistry(),
	}
	g.recorder = metrics.NewPolicies()
	g.recorder.MustRegister(g.registry.MustRegister)
	loader := newLoader(t)
	loader.Recorder, loader.Clock = g.recorder, g.clock
	for _, change := range changes {
		change(loader)
	}
	config.CircuitBreaker = wasmadmission.CircuitBreaker{
		Failures:      3,
		ProbeInterval: metav1.Duration{Duration: 10 * time.Second},
	}
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	g.ctx, g.log = klog.NewContext(t.Context(), logger),
		logger.GetSink().(ktesting.Underlier).GetBuffer()
	set, errs := loader.Load(g.ctx, config)
	require.Empty(t, errs)
	g.set, g.Policy = set, set.Policies()[0]
	return g
}

func obedient(t *testing.T) *wasmadmission.WasmAdmissionConfiguration {
	return configuration(wasmadmission.Policy{Name: "p", Module: modules(t) + "/obedient.wasm"})
}

// evaluate returns the outcomes of requests, one word each: accepted, refused, failed, or open if
// the breaker answers.
func (g *guarded) evaluate(requests ...string) string {
	var outcomes []string
	for _, request := range requests {
		response, _, err := g.Evaluate(g.ctx, []byte(request))
		switch {
		case isOpen(err):
			outcomes = append(outcomes, "open")
		case err != nil:
			outcomes = append(outcomes, "failed")
		case response.Accepted:
			outcomes = append(outcomes, "accepted")
		default:
			outcomes = append(outcomes, "refused")
		}
	}
	return strings.Join(outcomes, " ")
}

// value returns the value of a metric with these labels, given as names and values.
func (g *guarded) value(t *testing.T, metric string, labels ...string) int {
	t.Helper()
	families, err := g.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var has []string
			for _, label := range m.GetLabel() { // sorted by name
				has = append(has, label.GetName(), label.GetValue())
			}
			if family.GetName() == "apiserver_wasm_admission_"+metric && slices.Equal(has, labels) {
				return int(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			}
		}
	}
	require.Fail(t, "no such metric", "%s %v", metric, labels)
	return 0
}

// logged returns the log lines that begin with message.
func (g *guarded) logged(message string) (lines []string) {
	for line := range strings.Lines(g.log.String()) {
		if strings.Contains(line, message) {
			lines = append(lines, line)
		}
	}
	return lines
}

func isOpen(err error) bool { return errors.As(err, new(*breaker.OpenError)) }

func TestBreakerOpensAndRecovers(t *testing.T) {
	g := newGuarded(t, obedient(t))
	defer g.set.Close()
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "p"))
	require.Equal(t, "failed failed refused failed failed accepted failed failed",
		g.evaluate(trap, fail, refuse, trap, trap, accept, trap, fail))
	require.Empty(t, g.logged("Circuit breaker"))

	since := g.clock.Now()
	require.Equal(t, "failed open open", g.evaluate(trap, accept, refuse))
	require.Equal(t, 1, g.value(t, "open_circuit_breakers", "policy", "p"))
	require.Equal(t, 1,
		g.value(t, "circuit_breaker_transitions_total", "policy", "p", "state", "open"))
	require.Len(t, g.logged("Circuit breaker opened"), 1)
	require.Contains(t, g.logged("Circuit breaker opened")[0],
		`err="module `+g.Digest()+`: call of __guest_call: wasm trap: unreachable"`)
	require.Contains(t, g.logged("Circuit breaker opened")[0],
		`policy="p" moduleDigest="`+g.Digest()+`" failures=3 cause="unreachable"`)

	_, _, err := g.Evaluate(g.ctx, []byte(accept))
	var open *breaker.OpenError
	require.ErrorAs(t, err, &open)
	require.Equal(t, since, open.Since)
	require.Equal(t, engine.CauseUnreachable, engine.CauseOf(open.Last))
	require.Equal(t, engine.CauseOther, engine.CauseOf(err), "it is not this request that trapped")
	require.NotContains(t, err.Error(), "unreachable")
	require.ErrorContains(t, err, `policy "p": circuit breaker open since `)

	g.clock.SetTime(since.Add(10*time.Second - 1))
	require.Equal(t, "open", g.evaluate(accept))
	g.clock.SetTime(since.Add(10 * time.Second))
	require.Equal(t, "failed open", g.evaluate(trap, accept))
	g.clock.SetTime(since.Add(20 * time.Second))
	require.Equal(t, "accepted accepted failed failed accepted",
		g.evaluate(accept, accept, trap, trap, accept))
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "p"))
	require.Equal(t, 1,
		g.value(t, "circuit_breaker_transitions_total", "policy", "p", "state", "open"))
	require.Equal(t, 1,
		g.value(t, "circuit_breaker_transitions_total", "policy", "p", "state", "closed"))
	require.Len(t, g.logged("Circuit breaker closed"), 1)
	require.Contains(t, g.logged("Circuit breaker closed")[0], "failures=4")
}

// A problem that is not the policy's fault does not open its breaker, however often it happens.
func TestBreakerKnowsWhoIsToBlame(t *testing.T) {
	from := modules(t)
	for name, test := range map[string]struct {
		module   string
		request  string
		context  func(context.Context) (context.Context, context.CancelFunc)
		timeout  time.Duration
		wantOpen bool
	}{
		"trap":         {module: "trap", wantOpen: true},
		"bad answer":   {module: "bad-json", wantOpen: true},
		"no answer":    {module: "no-response", wantOpen: true},
		"memory":       {module: "memory-hog", wantOpen: true},
		"own time":     {module: "spin", timeout: 10 * time.Millisecond, wantOpen: true},
		"denial":       {module: "deny"},
		"request size": {module: "accept", request: strings.Repeat(" ", 2<<10)},
		"client gone": {module: "accept",
			context: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, cancel
			}},
		"request's time": {module: "spin",
			context: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 5*time.Millisecond)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			config := configuration(wasmadmission.Policy{
				Name:   "p",
				Module: from + "/" + test.module + ".wasm",
			})
			if test.timeout > 0 {
				config.Limits.EvaluationTimeout = metav1.Duration{Duration: test.timeout}
			}
			g := newGuarded(t, config)
			defer g.set.Close()
			ctx := g.ctx
			for range 3 {
				cancel := func() {}
				if test.context != nil {
					ctx, cancel = test.context(g.ctx)
				}
				_, _, err := g.Evaluate(ctx, []byte(test.request))
				cancel()
				require.Equal(t, test.module == "deny", err == nil)
				require.False(t, isOpen(err))
			}
			require.Equal(t, test.wantOpen, g.value(t, "open_circuit_breakers", "policy", "p") == 1)
		})
	}
}

// short is a capability that cannot answer because of a shortage, either at once or when the
// evaluation's time is up.
type short struct{ waits bool }

func (s short) Call(ctx context.Context, _ *capabilities.Caller, _ string,
	_ []byte) ([]byte, error) {
	if s.waits {
		<-ctx.Done()
	}
	return nil, &capabilities.FailedError{Err: &abi.ShortageError{Err: errors.New("nothing left")}}
}

// A shortage that affects everybody does not open a policy's breaker, whatever the guest makes of
// it and however long it waited.
func TestShortagesOpenNoBreaker(t *testing.T) {
	for name, test := range map[string]struct {
		short
		want string
	}{
		"told to the guest": {short{},
			"Guest call failure: Callback evaluation failure: nothing left"},
		"time is up": {short{waits: true}, "execution deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			config := configuration(wasmadmission.Policy{Name: "p",
				Module:           modules(t) + "/list-resources.wasm",
				HostCapabilities: []string{"kubernetes/*"}})
			if test.waits {
				config.Limits.EvaluationTimeout = metav1.Duration{Duration: 10 * time.Millisecond}
			}
			g := newGuarded(t, config, func(l *policyset.Loader) {
				l.Capabilities = policyset.Capabilities{
					ByNamespace: map[string]capabilities.Capability{"kubernetes": test.short},
				}
			})
			defer g.set.Close()
			for range 5 {
				_, _, err := g.Evaluate(g.ctx, []byte(`{}`))
				require.ErrorContains(t, err, test.want)
			}
			require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "p"))
		})
	}
}

func TestConcurrencyOfOnePolicy(t *testing.T) {
	config := obedient(t)
	config.Limits.PolicyEvaluations = 2
	config.Limits.EvaluationTimeout = metav1.Duration{Duration: time.Hour}
	g := newGuarded(t, config)
	defer g.set.Close()

	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	errs := make(chan error, 5)
	for range cap(errs) {
		go func() {
			_, _, err := g.Evaluate(ctx, []byte(spin))
			errs <- err
		}()
	}
	for range 3 { // evaluations beyond the limit do not wait
		err := <-errs
		require.Equal(t, engine.CauseShed, engine.CauseOf(err))
		var limit *engine.LimitError
		require.ErrorAs(t, err, &limit)
		require.EqualValues(t, 2, limit.Max)
		require.Greater(t, limit.Value, int64(2))
		require.ErrorContains(t, err, `policy "p": `)
		require.ErrorContains(t, err,
			"evaluations of one policy at a time (limits.policyEvaluations), at most 2 are allowed")
	}
	require.Equal(t, 3, g.value(t, "overloads_total", "policy", "p"))
	require.Equal(t, "failed", g.evaluate(accept))
	cancel()
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(<-errs))
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(<-errs))
	require.Equal(t, "accepted", g.evaluate(accept),
		"the places are free again, and the breaker is closed")
}

// Members of a group have breakers too. A member that keeps failing soon costs no more time, and
// the group goes on without it.
func TestBreakersOfMembers(t *testing.T) {
	from := modules(t)
	g := newGuarded(t,
		groupConfiguration("x_t() || (y_a() && z_d())", told(from, "x_t"), told(from, "y_a"),
			told(from, "z_d")))
	defer g.set.Close()
	require.Equal(t, "refused refused refused refused", g.evaluate(accept, accept, accept, accept))
	require.Len(t, g.logged(`Policy log policy="g/x_t"`), 3)
	require.Len(t, g.logged(`Policy log policy="g/y_a"`), 4)
	require.Equal(t, 1, g.value(t, "open_circuit_breakers", "policy", "g/x_t"))
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "g/y_a"))
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "g"))
	response, _, err := g.Evaluate(g.ctx, []byte(accept))
	require.NoError(t, err)
	require.Equal(t, "spec.policies.x_t", response.Causes[0].Field)
	require.Regexp(t, "^circuit breaker open since", response.Causes[0].Message)

	g.clock.SetTime(g.clock.Now().Add(10 * time.Second))
	require.Equal(t, "accepted", g.evaluate(`{"tell":"do:a"}`), "it recovers")
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "g/x_t"))
}

// A group that has no verdict opens its own breaker.
func TestBreakerOfGroup(t *testing.T) {
	g := newGuarded(t, groupConfiguration("!x_t()", told(modules(t), "x_t")))
	require.Equal(t, "failed failed failed open", g.evaluate(accept, accept, accept, accept))
	require.Equal(t, 1, g.value(t, "open_circuit_breakers", "policy", "g"))
	require.Equal(t, 1, g.value(t, "open_circuit_breakers", "policy", "g/x_t"))
	// The next set has policies with the same names.
	g.recorder.PolicyLoaded("g")
	g.recorder.PolicyLoaded("g/x_t")
	g.set.Close()
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "g"), "a freed breaker is not open")
	require.Zero(t, g.value(t, "open_circuit_breakers", "policy", "g/x_t"))
}

// Under concurrency, every evaluation ends and frees its place.
func TestManyAtOnce(t *testing.T) {
	from := modules(t)
	config := groupConfiguration("x() && !y() || z()", told(from, "x"), told(from, "y"),
		told(from, "z"))
	config.Policies = obedient(t).Policies
	config.Policies[0].Name = "a"
	config.Limits.PolicyEvaluations = 6
	g := newGuarded(t, config)
	defer g.set.Close()
	requests := []string{accept, refuse, trap, fail, accept, `{"tell":"do:m"}`}
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			for k := range 100 {
				for _, p := range g.set.Policies() {
					response, _, err := p.Evaluate(t.Context(),
						[]byte(requests[(n+k/3)%len(requests)]))
					if (response == nil) == (err == nil) {
						t.Errorf("response %v, error %v", response, err)
					}
				}
				if k%10 == 0 {
					g.clock.SetTime(g.clock.Now().Add(5 * time.Second))
				}
			}
		})
	}
	wait.Wait()
	g.clock.SetTime(g.clock.Now().Add(10 * time.Second))
	for range 6 { // as many as there are places
		require.Equal(t, "accepted", g.evaluate(accept))
	}
	for range 6 {
		wait.Go(func() {
			_, _, err := g.Evaluate(t.Context(), []byte(accept))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}
