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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
)

func TestReloadMetrics(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	recorder := NewPolicies()
	recorder.MustRegister(registry.MustRegister)

	recorder.SetPolicySet("desired", "one")
	recorder.SetPolicySet("running", "one")
	recorder.SetPolicySet("desired", "two")
	recorder.SetPolicySet("desired", "two")
	recorder.ObserveReload("failed", time.Second)
	recorder.SetReloadFailedSince(time.Unix(1_700_000_000, 500_000_000))
	recorder.CountLastGoodSave("succeeded")
	recorder.SetBreakGlassUntil(time.Unix(1_700_000_001, 0))
	recorder.CountBreakGlass("begun")
	recorder.SetTrustRoot("embedded", time.Unix(1_600_000_000, 0))
	recorder.SetTrustRoot("tuf", time.Unix(1_700_000_002, 0))

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP apiserver_wasm_admission_policy_set_info [ALPHA] The desired and the running set of policies, by state and by the hash of their configuration and modules. Replicas with the same files have the same hash. The value is always 1.
# TYPE apiserver_wasm_admission_policy_set_info gauge
apiserver_wasm_admission_policy_set_info{hash="two",state="desired"} 1
apiserver_wasm_admission_policy_set_info{hash="one",state="running"} 1
# HELP apiserver_wasm_admission_reloads_total [ALPHA] Number of times that policies were loaded, at the start and after changes, by result: succeeded or failed.
# TYPE apiserver_wasm_admission_reloads_total counter
apiserver_wasm_admission_reloads_total{result="failed"} 1
# HELP apiserver_wasm_admission_reload_failed_since_timestamp_seconds [ALPHA] Unix time since when the configured policies cannot be loaded and others are served instead. Zero while the configured policies are served.
# TYPE apiserver_wasm_admission_reload_failed_since_timestamp_seconds gauge
apiserver_wasm_admission_reload_failed_since_timestamp_seconds 1.7000000005e+09
# HELP apiserver_wasm_admission_last_good_saves_total [ALPHA] Number of times that a set of policies was kept in the state directory for a restart, by result: succeeded or failed.
# TYPE apiserver_wasm_admission_last_good_saves_total counter
apiserver_wasm_admission_last_good_saves_total{result="succeeded"} 1
# HELP apiserver_wasm_admission_break_glass_until_timestamp_seconds [ALPHA] Unix time until which the break-glass file holds policies in monitor mode. Zero while it does not.
# TYPE apiserver_wasm_admission_break_glass_until_timestamp_seconds gauge
apiserver_wasm_admission_break_glass_until_timestamp_seconds 1.700000001e+09
# HELP apiserver_wasm_admission_break_glass_events_total [ALPHA] Number of events about the break-glass file, by event: begun, ended, or refused for a file that is not obeyed.
# TYPE apiserver_wasm_admission_break_glass_events_total counter
apiserver_wasm_admission_break_glass_events_total{event="begun"} 1
# HELP apiserver_wasm_admission_trust_root_timestamp_seconds [ALPHA] Unix time when the Sigstore trust root in use was known to be the newest, by source: embedded (in the program), cached (in the state directory), tuf (the public Sigstore's repository) or file (of that: when it was written). There is no value if signatures are verified by keys alone.
# TYPE apiserver_wasm_admission_trust_root_timestamp_seconds gauge
apiserver_wasm_admission_trust_root_timestamp_seconds{source="tuf"} 1.700000002e+09
`), "apiserver_wasm_admission_policy_set_info", "apiserver_wasm_admission_reloads_total", "apiserver_wasm_admission_reload_failed_since_timestamp_seconds",
		"apiserver_wasm_admission_last_good_saves_total",
		"apiserver_wasm_admission_break_glass_until_timestamp_seconds",
		"apiserver_wasm_admission_break_glass_events_total",
		"apiserver_wasm_admission_trust_root_timestamp_seconds"))

	recorder.SetReloadFailedSince(time.Time{})
	value, err := testutil.GetGaugeMetricValue(recorder.failedSince)
	require.NoError(t, err)
	require.Zero(t, value)
}
