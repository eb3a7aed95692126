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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics"
)

// everything calls every method that creates a series for a policy.
func everything(p *Policies, policy string) {
	p.ObserveEvaluation(policy, "validate", "CREATE", "accepted", false, time.Millisecond)
	p.ObserveEvaluation(policy, "admit", "UPDATE", "denied", true, time.Millisecond)
	p.AddFuel(policy, 1)
	p.CountMutation(policy, "CREATE")
	p.CountDroppedOutput(policy, "warning", 1)
	p.AddOpenBreakers(policy, 1)
	p.CountBreakerTransition(policy, "open")
	p.CountOverload(policy)
}

// series counts the series of each policy.
func series(t *testing.T, registry metrics.KubeRegistry) map[string]int {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	count := map[string]int{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "policy" {
					count[label.GetValue()]++
				}
			}
		}
	}
	return count
}

func TestSeriesOfPoliciesThatAreGone(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	p := NewPolicies()
	p.MustRegister(registry.MustRegister)
	for _, policy := range []string{"stays", "goes", "goes/member", "twice", "twice"} {
		p.PolicyLoaded(policy)
		everything(p, policy)
	}
	require.Equal(t, map[string]int{"stays": 8, "goes": 8, "goes/member": 8, "twice": 8},
		series(t, registry))
	p.PolicyFreed("goes")
	p.PolicyFreed("twice")
	require.Equal(t, map[string]int{"stays": 8, "goes/member": 8, "twice": 8}, series(t, registry))
	p.PolicyFreed("twice")
	p.PolicyFreed("goes/member")
	require.Equal(t, map[string]int{"stays": 8}, series(t, registry))
	require.Equal(t, map[string]int{"stays": 1}, p.loaded)
	p.PolicyLoaded("goes")
	p.AddFuel("goes", 1)
	require.Equal(t, map[string]int{"stays": 8, "goes": 1}, series(t, registry))
}

// Metrics that are not registered have no series.
func TestMetricsThatAreNotRegistered(t *testing.T) {
	p := NewPolicies()
	p.PolicyLoaded("p")
	everything(p, "p")
	p.PolicyFreed("p")
	require.Empty(t, p.loaded)
}
