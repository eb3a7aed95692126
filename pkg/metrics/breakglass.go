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

// breakGlassMetrics are about the break-glass file.
type breakGlassMetrics struct {
	until  *metrics.Gauge
	events *metrics.CounterVec
}

func newBreakGlassMetrics() *breakGlassMetrics {
	return &breakGlassMetrics{
		until: gauge("break_glass_until_timestamp_seconds",
			"Unix time until which the break-glass file holds policies in monitor mode. Zero while it does not."),
		events: counters("break_glass_events_total",
			"Number of events about the break-glass file, by event: begun, ended, or refused for a file that is not obeyed.",
			"event"),
	}
}

func (m *breakGlassMetrics) all() []metrics.Registerable {
	return []metrics.Registerable{m.until, m.events}
}

// SetBreakGlassUntil sets until when policies are in monitor mode. The zero time means that they
// are not.
func (m *breakGlassMetrics) SetBreakGlassUntil(until time.Time) { m.until.Set(timestamp(until)) }

// CountBreakGlass counts an event about the break-glass file.
func (m *breakGlassMetrics) CountBreakGlass(event string) {
	m.events.WithLabelValues(event).Inc()
}
