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
	"sync"
	"time"

	"k8s.io/component-base/metrics"
)

// reloadMetrics are about the set of policies that is served.
type reloadMetrics struct {
	set         *metrics.GaugeVec
	reloads     *metrics.CounterVec
	durations   *metrics.HistogramVec
	failedSince *metrics.Gauge
	saves       *metrics.CounterVec

	mu     sync.Mutex
	hashes map[string]string
}

func newReloadMetrics() *reloadMetrics {
	return &reloadMetrics{
		set: gauges("policy_set_info",
			"The desired and the running set of policies, by state and by the hash of their configuration and modules. Replicas with the same files have the same hash. The value is always 1.",
			"state", "hash"),
		reloads: counters("reloads_total",
			"Number of times that policies were loaded, at the start and after changes, by result: succeeded or failed.",
			"result"),
		// New settings take milliseconds, compiling a small module tens of milliseconds, and the
		// largest module half a minute.
		durations: histograms("reload_duration_seconds",
			"Time from finding a change to serving it, or to knowing that it is bad, by result: succeeded or failed.",
			[]float64{
				0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
			}, "result"),
		failedSince: gauge("reload_failed_since_timestamp_seconds",
			"Unix time since when the configured policies cannot be loaded and others are served instead. Zero while the configured policies are served."),
		saves: counters("last_good_saves_total",
			"Number of times that a set of policies was kept in the state directory for a restart, by result: succeeded or failed.",
			"result"),
		hashes: map[string]string{},
	}
}

func (m *reloadMetrics) all() []metrics.Registerable {
	return []metrics.Registerable{m.set, m.reloads, m.durations, m.failedSince, m.saves}
}

// SetPolicySet sets the hash of the set of policies in a state.
func (m *reloadMetrics) SetPolicySet(state, hash string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.hashes[state]; known && before != hash {
		m.set.Delete(map[string]string{"state": state, "hash": before})
	}
	m.hashes[state] = hash
	m.set.WithLabelValues(state, hash).Set(1)
}

// ObserveReload records how long loading policies took, and its result.
func (m *reloadMetrics) ObserveReload(result string, duration time.Duration) {
	m.reloads.WithLabelValues(result).Inc()
	m.durations.WithLabelValues(result).Observe(duration.Seconds())
}

// SetReloadFailedSince sets since when the configured policies are not served. The zero time means
// that they are.
func (m *reloadMetrics) SetReloadFailedSince(since time.Time) {
	m.failedSince.Set(timestamp(since))
}

// CountLastGoodSave counts an attempt to keep a set for a restart.
func (m *reloadMetrics) CountLastGoodSave(result string) {
	m.saves.WithLabelValues(result).Inc()
}

// timestamp returns a time in seconds since 1970. It returns 0 for the zero time.
func timestamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
