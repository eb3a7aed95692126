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

// breakerMetrics are about policies that keep failing, and those that are asked too
// much. Label policy is the name of a policy or of a group, or group/member.
type breakerMetrics struct {
	open        *metrics.GaugeVec
	transitions *metrics.CounterVec
	overloads   *metrics.CounterVec
}

func newBreakerMetrics() *breakerMetrics {
	return &breakerMetrics{
		open: gauges("open_circuit_breakers",
			"Number of open circuit breakers, by policy: one while the policy is answered by its failure policy without evaluation because it kept failing, zero while it is evaluated. Members of groups are named group/member.",
			"policy"),
		transitions: counters("circuit_breaker_transitions_total",
			"Number of times that a policy's circuit breaker changed, by policy and by what it became: open or closed.",
			"policy", "state"),
		overloads: counters("overloads_total",
			"Number of evaluations that failed at once because a policy was busy with as many as it may be, by policy.",
			"policy"),
	}
}

func (m *breakerMetrics) registerables() []metrics.Registerable {
	return []metrics.Registerable{m.open, m.transitions, m.overloads}
}

// AddOpenBreakers says that so many more circuit breakers of a policy are open, or fewer.
func (m *breakerMetrics) AddOpenBreakers(policy string, count int) {
	m.open.WithLabelValues(policy).Add(float64(count))
}

// CountBreakerTransition counts that a policy's circuit breaker opened or closed.
func (m *breakerMetrics) CountBreakerTransition(policy, state string) {
	m.transitions.WithLabelValues(policy, state).Inc()
}

// CountOverload counts an evaluation that failed at once because its policy was busy.
func (m *breakerMetrics) CountOverload(policy string) { m.overloads.WithLabelValues(policy).Inc() }
