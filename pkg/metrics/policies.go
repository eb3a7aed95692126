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

package metrics

import (
	"strconv"
	"time"

	"k8s.io/component-base/metrics"
)

// evaluationBuckets are in seconds. A warm evaluation takes tens to hundreds of microseconds, and a
// cold one milliseconds. The default timeout is two seconds.
var evaluationBuckets = []float64{
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 2.5,
}

// Policies are the metrics of policies and their evaluations.
type Policies struct {
	policies    *metrics.Gauge
	unmatched   *metrics.Gauge
	evaluations *metrics.HistogramVec
	fuel        *metrics.CounterVec
	mutations   *metrics.CounterVec
	dropped     *metrics.CounterVec
	exemptions  *metrics.CounterVec
	*policySeries
	*breakerMetrics
	*reloadMetrics
	*breakGlassMetrics
	*trustRootMetrics
}

// NewPolicies returns metrics that are not registered yet.
func NewPolicies() *Policies {
	p := &Policies{
		policies: gauge("policies",
			"Number of policies that are enforced. Zero while the feature is enabled means that nothing is enforced."),
		unmatched: gauge("unmatched_rules",
			"Number of policy rules that match no served resource and so enforce nothing. The log names them."),
		evaluations: histograms("evaluation_duration_seconds",
			"Time that a policy took to evaluate a request, by policy, type (validate or admit), operation, outcome (accepted, denied, failed_closed or failed_open) and whether it rejected the request, which it never does in monitor mode.",
			evaluationBuckets, "policy", "type", "operation", "outcome", "rejected"),
		fuel: counters("policy_fuel_total",
			"Fuel that a policy burned for requests, by policy, one to two and a half units for each instruction. Unlike time, it is the same on every machine.",
			"policy"),
		mutations: counters("mutations_total",
			"Number of times that a policy changed an object, by policy and operation.",
			"policy", "operation"),
		dropped: counters("dropped_outputs_total",
			"Number of warnings and audit annotations of policies that were dropped because they were too many, too long or malformed, by policy and output: warning or audit_annotation.",
			"policy", "output"),
		exemptions: counters("exempt_requests_total",
			"Number of requests that matched policies and were not evaluated, by type (validate or admit) and reason: user, group, namespace or apiserver.",
			"type", "reason"),
		breakerMetrics:    newBreakerMetrics(),
		reloadMetrics:     newReloadMetrics(),
		breakGlassMetrics: newBreakGlassMetrics(),
		trustRootMetrics:  newTrustRootMetrics(),
	}
	p.policySeries = &policySeries{loaded: map[string]int{}, remove: []func(map[string]string){
		removing(p.evaluations, func(l map[string]string) int {
			return p.evaluations.DeletePartialMatch(l)
		}),
		removing(p.fuel, func(l map[string]string) int { return p.fuel.DeletePartialMatch(l) }),
		removing(p.mutations, func(l map[string]string) int {
			return p.mutations.DeletePartialMatch(l)
		}),
		removing(p.dropped, func(l map[string]string) int {
			return p.dropped.DeletePartialMatch(l)
		}),
		removing(p.open, func(l map[string]string) int { return p.open.DeletePartialMatch(l) }),
		removing(p.transitions, func(l map[string]string) int {
			return p.transitions.DeletePartialMatch(l)
		}),
		removing(p.overloads, func(l map[string]string) int {
			return p.overloads.DeletePartialMatch(l)
		}),
	}}
	return p
}

// MustRegister registers the metrics. register is the MustRegister method of a registry, such as
// that of k8s.io/component-base/metrics/legacyregistry.
func (p *Policies) MustRegister(register func(...metrics.Registerable)) {
	register(p.policies, p.unmatched, p.evaluations, p.fuel, p.mutations, p.dropped, p.exemptions)
	register(p.registerables()...)
	register(p.reloadMetrics.all()...)
	register(p.breakGlassMetrics.all()...)
	register(p.root)
}

// SetPolicies sets how many policies are enforced.
func (p *Policies) SetPolicies(count int) { p.policies.Set(float64(count)) }

// SetUnmatchedRules sets how many rules of policies match no served resource.
func (p *Policies) SetUnmatchedRules(count int) { p.unmatched.Set(float64(count)) }

// ObserveEvaluation records an evaluation.
func (p *Policies) ObserveEvaluation(policy, phase, operation, outcome string, rejected bool,
	duration time.Duration) {
	p.evaluations.WithLabelValues(policy, phase, operation, outcome, strconv.FormatBool(rejected)).
		Observe(duration.Seconds())
}

// AddFuel adds the fuel that a policy burned for a request. It ignores negative numbers, which
// would panic.
func (p *Policies) AddFuel(policy string, fuel int64) {
	p.fuel.WithLabelValues(policy).Add(float64(max(0, fuel)))
}

// CountMutation counts an object that a policy changed.
func (p *Policies) CountMutation(policy, operation string) {
	p.mutations.WithLabelValues(policy, operation).Inc()
}

// CountDroppedOutput counts output of a policy's guest that was dropped.
func (p *Policies) CountDroppedOutput(policy, output string, count int) {
	p.dropped.WithLabelValues(policy, output).Add(float64(count))
}

// CountExemption counts a request that was exempt in a phase.
func (p *Policies) CountExemption(phase, reason string) {
	p.exemptions.WithLabelValues(phase, reason).Inc()
}
