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

package metrics_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

func TestClusterMetrics(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	c := metrics.NewCluster()
	c.MustRegister(registry.MustRegister)
	c.CountLook("can_i", "cached")
	c.CountLook("can_i", "cached")
	c.SetCaches(2, 3)
	c.CountCacheStop("idle")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP apiserver_wasm_admission_cluster_cache_bytes [ALPHA] Bytes that the lists and inventories take that are held for policies.
# TYPE apiserver_wasm_admission_cluster_cache_bytes gauge
apiserver_wasm_admission_cluster_cache_bytes 3
# HELP apiserver_wasm_admission_cluster_cache_stops_total [ALPHA] Number of lists that stopped being held, by reason: idle, evicted (another needed the memory), too_large or failed.
# TYPE apiserver_wasm_admission_cluster_cache_stops_total counter
apiserver_wasm_admission_cluster_cache_stops_total{reason="idle"} 1
# HELP apiserver_wasm_admission_cluster_caches [ALPHA] Number of lists and inventories that are held for policies. Each list is a watch.
# TYPE apiserver_wasm_admission_cluster_caches gauge
apiserver_wasm_admission_cluster_caches 2
# HELP apiserver_wasm_admission_cluster_looks_total [ALPHA] Number of reads of the cluster by policies, by operation (list_resources_all, list_resources_by_namespace, get_resource, can_i, or inventory, which policies in Rego use) and result: cached, asked (the server was asked, or a cache had to fill first), denied or failed.
# TYPE apiserver_wasm_admission_cluster_looks_total counter
apiserver_wasm_admission_cluster_looks_total{operation="can_i",result="cached"} 2
`)))
}
