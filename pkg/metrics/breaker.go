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

import "k8s.io/component-base/metrics"

// breakerMetrics are about policies that keep failing or are overloaded. Label policy is the name
// of a policy or of a group, or group/member.
type breakerMetrics struct {
	open        *metrics.GaugeVec
	transitions *metrics.CounterVec
	overloads   *metrics.CounterVec
}

func newBreakerMetrics() *breakerMetrics {
	return &breakerMetrics{
		open: gauges("open_circuit_breakers",
			"Number of open circuit breakers, by policy: 1 while the failure policy answers instead of the policy, which kept failing, and 0 while the policy is evaluated. Members of groups are named group/member.",
			"policy"),
		transitions: counters("circuit_breaker_transitions_total",
			"Number of times that a policy's circuit breaker changed, by policy and new state: open or closed.",
			"policy", "state"),
		overloads: counters("overloads_total",
			"Number of evaluations that failed at once because the policy was already busy with as many as limits.policyEvaluations allows, by policy.",
			"policy"),
	}
}

func (m *breakerMetrics) registerables() []metrics.Registerable {
	return []metrics.Registerable{m.open, m.transitions, m.overloads}
}

// AddOpenBreakers adds count, which may be negative, to the number of a policy's open circuit
// breakers.
func (m *breakerMetrics) AddOpenBreakers(policy string, count int) {
	m.open.WithLabelValues(policy).Add(float64(count))
}

// CountBreakerTransition counts an opening or closing of a policy's circuit breaker.
func (m *breakerMetrics) CountBreakerTransition(policy, state string) {
	m.transitions.WithLabelValues(policy, state).Inc()
}

// CountOverload counts an evaluation that failed at once because its policy was busy.
func (m *breakerMetrics) CountOverload(policy string) { m.overloads.WithLabelValues(policy).Inc() }
