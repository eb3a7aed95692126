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

// trustRootMetrics are about the trust root that signatures are verified against.
type trustRootMetrics struct{ root *metrics.GaugeVec }

func newTrustRootMetrics() *trustRootMetrics {
	return &trustRootMetrics{root: gauges("trust_root_timestamp_seconds",
		"Unix time when the Sigstore trust root in use was known to be the newest, by source: embedded (in the program), cached (in the state directory), tuf (the public Sigstore's repository) or file (of that: when it was written). There is no value if signatures are verified by keys alone.",
		"source")}
}

// SetTrustRoot sets the source of the trust root in use, and when it was known to be the newest.
func (m *trustRootMetrics) SetTrustRoot(source string, since time.Time) {
	m.root.Reset()
	m.root.WithLabelValues(source).Set(timestamp(since))
}
