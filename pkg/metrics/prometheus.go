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
	"time"

	"k8s.io/component-base/metrics"
)

// The metrics' names begin as those of the in-tree admission plugins do.
const (
	namespace = "apiserver"
	subsystem = "wasm_admission"
)

// Prometheus is a [Recorder] over Kubernetes' metrics library. Labels are names
// of policies, which the configuration bounds, and closed sets.
type Prometheus struct {
	policies    *metrics.Gauge
	evaluations *metrics.HistogramVec
	exemptions  *metrics.CounterVec
	*reloadMetrics
	*breakGlassMetrics
}

var _ Recorder = &Prometheus{}

// NewPrometheus returns a recorder whose metrics are not registered yet.
func NewPrometheus() *Prometheus {
	return &Prometheus{
		policies: metrics.NewGauge(&metrics.GaugeOpts{
			Namespace:      namespace,
			Subsystem:      subsystem,
			Name:           "policies",
			Help:           "Number of policies that are enforced. Zero while the feature is enabled means that nothing is enforced.",
			StabilityLevel: metrics.ALPHA,
		}),
		evaluations: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Namespace: namespace,
			Subsystem: subsystem,
			Name:      "evaluation_duration_seconds",
			Help:      "Time that a policy took to evaluate a request, by policy, operation and outcome: accepted, denied, failed_closed or failed_open.",
			// A warm evaluation takes tens to hundreds of microseconds, a cold
			// one milliseconds; the default deadline is two seconds.
			Buckets:        []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 2.5},
			StabilityLevel: metrics.ALPHA,
		}, []string{"policy", "operation", "outcome"}),
		exemptions: metrics.NewCounterVec(&metrics.CounterOpts{
			Namespace:      namespace,
			Subsystem:      subsystem,
			Name:           "exempt_requests_total",
			Help:           "Number of requests that matched policies and were not evaluated, by reason: user, group, namespace or apiserver.",
			StabilityLevel: metrics.ALPHA,
		}, []string{"reason"}),
		reloadMetrics:     newReloadMetrics(),
		breakGlassMetrics: newBreakGlassMetrics(),
	}
}

// MustRegister registers the metrics. Register is the MustRegister method of a
// registry, such as that of k8s.io/component-base/metrics/legacyregistry.
func (p *Prometheus) MustRegister(register func(...metrics.Registerable)) {
	register(p.policies, p.evaluations, p.exemptions)
	register(p.reloadMetrics.all()...)
	register(p.breakGlassMetrics.all()...)
}

// SetPolicies implements [Recorder].
func (p *Prometheus) SetPolicies(count int) { p.policies.Set(float64(count)) }

// ObserveEvaluation implements [Recorder].
func (p *Prometheus) ObserveEvaluation(policy, operation string, outcome Outcome, duration time.Duration) {
	p.evaluations.WithLabelValues(policy, operation, string(outcome)).Observe(duration.Seconds())
}

// CountExemption implements [Recorder].
func (p *Prometheus) CountExemption(reason Exemption) {
	p.exemptions.WithLabelValues(string(reason)).Inc()
}
