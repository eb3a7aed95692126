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

package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	basemetrics "k8s.io/component-base/metrics"

	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

func TestTheReferenceIsUpToDate(t *testing.T) {
	var wanted bytes.Buffer
	require.NoError(t, write(&wanted))
	found, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	require.Equal(t, wanted.String(), string(found),
		"docs/metrics.md is out of date: run make generate")
}

// silent registers a metric that no method records.
type silent struct{}

func (silent) MustRegister(register func(...basemetrics.Registerable)) {
	register(basemetrics.NewCounterVec(&basemetrics.CounterOpts{Name: "never", Help: "Never."},
		[]string{"label"}))
}

func TestMetricsThatNobodyRecordsAreNoticed(t *testing.T) {
	_, err := collect(silent{})
	require.ErrorContains(t, err, "never")
}

// After a policy is removed, no metric keeps a series for it.
func TestNoSeriesOfAPolicyStays(t *testing.T) {
	registry := basemetrics.NewKubeRegistry()
	p := metrics.NewPolicies()
	p.MustRegister(registry.MustRegister)
	record(p)
	labels := func() (names []string) {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			for _, label := range family.GetMetric()[0].GetLabel() {
				names = append(names, label.GetName())
			}
		}
		return names
	}
	require.Contains(t, labels(), "policy")
	p.PolicyFreed("")
	require.NotContains(t, labels(), "policy",
		"NewPolicies removes the series of a policy that is gone: enter the metric in policySeries")
}
