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

// Package top shows the cost and the decisions of a server's policies, from the metrics of the
// server.
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

// The metrics that are read.
const (
	prefix       = "apiserver_wasm_admission_"
	evaluations  = prefix + "evaluation_duration_seconds"
	fuel         = prefix + "policy_fuel_total"
	mutations    = prefix + "mutations_total"
	openBreakers = prefix + "open_circuit_breakers"
	served       = prefix + "policies"
	started      = "process_start_time_seconds"
)

// maxPolicies bounds the policies that are read. It exceeds the maximum of a server.
const maxPolicies = 100_000

// Counts are a server's counts for a policy, or their increase per second.
type Counts struct {
	// Evaluations counts all evaluations. Denied and Failed count those that denied, and those
	// without a verdict.
	Evaluations, Denied, Failed float64
	// Changed counts the changes of objects.
	Changed float64
	// Seconds is the total time of evaluations, and Fuel the fuel that they burned.
	Seconds, Fuel float64
}

// Snapshot holds a server's counts at one time.
type Snapshot struct {
	// Started is the start of the server in Unix time, or 0 if it is unknown.
	Started float64
	// Served is the number of policies and groups that the server enforces.
	Served int
	// Policies holds the counts by policy, for policies with at least one evaluation.
	Policies map[string]Counts
	// Open is the set of policies whose circuit breaker is open.
	Open map[string]bool
}

// Read reads a server's metrics in Prometheus' text format. Metrics without those of WasmAdmission
// are an error.
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
		return nil, errors.New("there is no metric " + served +
			": the server was built without WasmAdmission, or the feature gate is off")
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
		return nil, fmt.Errorf("these are the metrics of %d policies: no server has more than %d",
			len(s.Policies), maxPolicies)
	}
	return s, nil
}

// only returns the lines that are needed. An apiserver has tens of thousands of others.
func only(text io.Reader) (string, error) {
	var own strings.Builder
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "# TYPE ")
		if (strings.HasPrefix(line, prefix) && !strings.HasPrefix(line, evaluations+"_bucket")) ||
			strings.HasPrefix(line, started) {
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
		total += sample.GetGauge().GetValue() + sample.GetUntyped().GetValue() +
			sample.GetCounter().GetValue()
	}
	return total
}

// Row is a policy with the values that are shown.
type Row struct {
	Policy string
	Counts
	// Open reports whether its circuit breaker is open.
	Open bool
}

// Rows returns the policies of a snapshot. Without an earlier snapshot, the values are the total
// counts, and otherwise the increase per second in the given time. It returns false if the earlier
// snapshot comes from another server, or from before a restart.
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
		Evaluations: each(c.Evaluations, before.Evaluations), Denied: each(c.Denied, before.Denied),
		Failed:  each(c.Failed, before.Failed),
		Changed: each(c.Changed, before.Changed), Seconds: each(c.Seconds, before.Seconds),
		Fuel: each(c.Fuel, before.Fuel),
	}
}
