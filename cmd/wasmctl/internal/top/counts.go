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

// Package top tells what policies cost a server and what they decide, from the metrics that
// it serves.
package top

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// What is read of a server's metrics.
const (
	prefix       = "apiserver_wasm_admission_"
	evaluations  = prefix + "evaluation_duration_seconds"
	fuel         = prefix + "policy_fuel_total"
	mutations    = prefix + "mutations_total"
	openBreakers = prefix + "open_circuit_breakers"
	served       = prefix + "policies"
	started      = "process_start_time_seconds"
)

// maxPolicies is how many policies are read, which is more than a server takes.
const maxPolicies = 100_000

// Counts are what a server counted of a policy, or by how much that grew in a second.
type Counts struct {
	// Evaluations are all, of which Denied are those that denied, and Failed those that
	// ended without a verdict.
	Evaluations, Denied, Failed float64
	// Changed is how often it changed an object.
	Changed float64
	// Seconds is the time that evaluations took, and Fuel what they burnt.
	Seconds, Fuel float64
}

// Snapshot is what a server has counted until now.
type Snapshot struct {
	// Started is when the server started, in seconds of Unix time; 0 if it does not say.
	Started float64
	// Served is how many policies and groups it enforces.
	Served int
	// Policies are the counts by policy. Only those that were asked are in them.
	Policies map[string]Counts
	// Open are the policies whose circuit breaker is open.
	Open map[string]bool
}

// Read reads a server's metrics in Prometheus' text format. It is an error if there are
// none of WasmAdmission among them.
func Read(text io.Reader) (*Snapshot, error) {
	own, err := only(text)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(own))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	if families[served] == nil {
		return nil, errors.New("there is no metric " + served + ": the server was built without WasmAdmission, or the feature gate is off")
	}
	s := &Snapshot{Policies: map[string]Counts{}, Open: map[string]bool{}}
	s.Served = int(sum(families[served]))
	s.Started = sum(families[started])
	for _, sample := range families[evaluations].GetMetric() {
		s.add(sample, func(c *Counts) {
			count := float64(sample.GetHistogram().GetSampleCount())
			c.Evaluations += count
			c.Seconds += sample.GetHistogram().GetSampleSum()
			switch outcome := label(sample, "outcome"); {
			case outcome == "denied":
				c.Denied += count
			case strings.HasPrefix(outcome, "failed_"):
				c.Failed += count
			}
		})
	}
	for _, sample := range families[fuel].GetMetric() {
		s.add(sample, func(c *Counts) { c.Fuel += sample.GetCounter().GetValue() })
	}
	for _, sample := range families[mutations].GetMetric() {
		s.add(sample, func(c *Counts) { c.Changed += sample.GetCounter().GetValue() })
	}
	for _, sample := range families[openBreakers].GetMetric() {
		if sample.GetGauge().GetValue() > 0 {
			s.Open[label(sample, "policy")] = true
		}
	}
	if len(s.Policies) > maxPolicies {
		return nil, fmt.Errorf("these are the metrics of %d policies: no server has more than %d", len(s.Policies), maxPolicies)
	}
	return s, nil
}

// only returns the lines that are read. An apiserver has tens of thousands of others.
func only(text io.Reader) (string, error) {
	var own strings.Builder
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "# TYPE ")
		if (strings.HasPrefix(line, prefix) && !strings.HasPrefix(line, evaluations+"_bucket")) || strings.HasPrefix(line, started) {
			own.WriteString(lines.Text())
			own.WriteByte('\n')
		}
	}
	return own.String(), lines.Err()
}

func (s *Snapshot) add(sample *dto.Metric, add func(*Counts)) {
	policy := label(sample, "policy")
	counts := s.Policies[policy]
	add(&counts)
	s.Policies[policy] = counts
}

func label(sample *dto.Metric, name string) string {
	for _, pair := range sample.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

func sum(family *dto.MetricFamily) (total float64) {
	for _, sample := range family.GetMetric() {
		total += sample.GetGauge().GetValue() + sample.GetUntyped().GetValue() + sample.GetCounter().GetValue()
	}
	return total
}

// Row is a policy with what is shown of it.
type Row struct {
	Policy string
	Counts
	// Open is whether its circuit breaker is open.
	Open bool
}

// Rows returns the policies of a snapshot: with all that was counted if there is none
// before, else with how much that grew in each of so many seconds. It returns no rows if
// the one before is of another server, or from before a restart.
func (s *Snapshot) Rows(before *Snapshot, seconds float64) (rows []Row, ok bool) {
	if before != nil && (before.Started != s.Started || seconds <= 0) {
		return nil, false
	}
	names := slices.Concat(slices.Collect(maps.Keys(s.Policies)), slices.Collect(maps.Keys(s.Open)))
	slices.Sort(names)
	for _, policy := range slices.Compact(names) {
		row := Row{Policy: policy, Counts: s.Policies[policy], Open: s.Open[policy]}
		if before != nil {
			row.Counts = row.grown(before.Policies[policy], seconds)
		}
		rows = append(rows, row)
	}
	return rows, true
}

func (c Counts) grown(before Counts, seconds float64) Counts {
	each := func(now, before float64) float64 { return max(0, now-before) / seconds }
	return Counts{
		Evaluations: each(c.Evaluations, before.Evaluations), Denied: each(c.Denied, before.Denied), Failed: each(c.Failed, before.Failed),
		Changed: each(c.Changed, before.Changed), Seconds: each(c.Seconds, before.Seconds), Fuel: each(c.Fuel, before.Fuel),
	}
}
