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

// Cluster are the metrics of policies' reads of the cluster. It implements the Recorder of package
// capabilities/kubernetes with Kubernetes' metrics library.
type Cluster struct {
	looks  *metrics.CounterVec
	caches *metrics.Gauge
	bytes  *metrics.Gauge
	stops  *metrics.CounterVec
}

// NewCluster returns metrics that are not registered yet.
func NewCluster() *Cluster {
	return &Cluster{
		looks: counters("cluster_looks_total",
			"Number of reads of the cluster by policies, by operation (list_resources_all, list_resources_by_namespace, get_resource, can_i, or inventory, which policies in Rego use) and result: cached, asked (the server was asked, or a cache had to fill first), denied or failed.",
			"operation", "result"),
		caches: gauge("cluster_caches",
			"Number of lists and inventories that are held for policies. Each list is a watch."),
		bytes: gauge("cluster_cache_bytes",
			"Bytes that the lists and inventories take that are held for policies."),
		stops: counters("cluster_cache_stops_total",
			"Number of lists that stopped being held, by reason: idle, evicted (another needed the memory), too_large or failed.",
			"reason"),
	}
}

// MustRegister registers the metrics. register is the MustRegister method of a registry, such as
// that of k8s.io/component-base/metrics/legacyregistry.
func (c *Cluster) MustRegister(register func(...metrics.Registerable)) {
	register(c.looks, c.caches, c.bytes, c.stops)
}

// CountLook implements the capability's Recorder.
func (c *Cluster) CountLook(operation, result string) {
	c.looks.WithLabelValues(operation, result).Inc()
}

// SetCaches implements the capability's Recorder.
func (c *Cluster) SetCaches(count int, bytes int64) {
	c.caches.Set(float64(count))
	c.bytes.Set(float64(bytes))
}

// CountCacheStop implements the capability's Recorder.
func (c *Cluster) CountCacheStop(reason string) { c.stops.WithLabelValues(reason).Inc() }
