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

// Servers are the metrics of what all servers of a cluster serve, from the point of view of one of
// them. They are safe for concurrent use.
type Servers struct {
	servers        *metrics.GaugeVec
	runningSets    *metrics.Gauge
	configurations *metrics.Gauge
}

// NewServers returns metrics that are not registered yet.
func NewServers() *Servers {
	return &Servers{
		servers: gauges("servers",
			"Number of apiservers, or of replicas of the webhook server, as this one sees their status, by state: running (the configured policies), refused (the configured policies cannot be loaded, and the previous ones are served) or unknown (there is no status, or it is not renewed).",
			"state"),
		runningSets: gauge("servers_running_sets",
			"Number of different sets of policies that these servers serve, as this one sees their status. More than 1 is skew."),
		configurations: gauge("servers_configurations",
			"Number of different configurations, apart from policies, that these servers started with, as this one sees their status. More than 1 is skew."),
	}
}

// MustRegister registers the metrics. Register is the MustRegister method of a
// registry, such as that of k8s.io/component-base/metrics/legacyregistry.
func (s *Servers) MustRegister(register func(...metrics.Registerable)) {
	register(s.servers, s.runningSets, s.configurations)
}

// SetServers sets how many servers are in a state.
func (s *Servers) SetServers(state string, count int) {
	s.servers.WithLabelValues(state).Set(float64(count))
}

// SetDifferent sets how many different sets of policies the servers serve, and how many different
// configurations of everything else they have.
func (s *Servers) SetDifferent(runningSets, configurations int) {
	s.runningSets.Set(float64(runningSets))
	s.configurations.Set(float64(configurations))
}
