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

// Command metricsdoc writes docs/metrics.md, the reference for the metrics in package metrics, to
// standard output. A registry does not show metrics without samples. So the command calls every
// method that records something, and then reads what a scrape would return.
package main

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	basemetrics "k8s.io/component-base/metrics"

	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

// registrar holds metrics that are registered together.
type registrar interface {
	MustRegister(register func(...basemetrics.Registerable))
}

// metric is a row in the reference.
type metric struct {
	name, kind, stability, help string
	labels, buckets             []string
}

const head = `# Metrics

<!-- Written by "make generate" from package metrics. Do not edit. -->

kube-apiserver with WasmAdmission serves these metrics at ` + "`/metrics`" + ` beside its own. Of its own,
` + "`apiserver_admission_controller_admission_duration_seconds{name=\"WasmAdmission\"}`" + ` is the time that requests spend in
the plugin. [operations.md](operations.md#what-is-wrong) says what to watch.

Labels have few values: names of policies, which the configuration bounds, members of closed sets, and a hash that
replaces the previous one. The series of a policy disappear once no request can be evaluated by it any more, about a
minute after it was removed. Times are in seconds. ALPHA metrics may change or disappear with any version.

| Metric | Type | Labels | Stability | Meaning |
|---|---|---|---|---|
`

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "metricsdoc:", err)
		os.Exit(1)
	}
}

// write writes the reference to w.
func write(w io.Writer) error {
	found, err := collect(metrics.NewPolicies(), metrics.NewEngine(), metrics.NewCluster(),
		metrics.NewImages(), metrics.NewServers())
	if err != nil {
		return err
	}
	text := head
	for _, m := range found {
		help := m.help
		if len(m.buckets) > 0 {
			help += " Buckets: " + strings.Join(m.buckets, ", ") + "."
		}
		text += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, code(m.labels),
			m.stability, strings.ReplaceAll(help, "|", `\|`))
	}
	_, err = io.WriteString(w, text)
	return err
}

// collect returns all metrics, sorted by name. It fails if no method records a registered metric.
func collect(registrars ...registrar) ([]metric, error) {
	registry := basemetrics.NewKubeRegistry()
	missing := map[string]bool{}
	for _, r := range registrars {
		r.MustRegister(func(all ...basemetrics.Registerable) {
			registry.MustRegister(all...)
			for _, m := range all {
				missing[m.FQName()] = true
			}
		})
		record(r)
	}
	// Fill the whole state, because the collector leaves out zero values.
	collector := metrics.NewEngineStateCollector(func() metrics.EngineState {
		return metrics.EngineState{Reset: "copy"}
	})
	registry.CustomMustRegister(collector)
	for _, name := range described(collector) {
		missing[name] = true
	}

	families, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	var found []metric
	for _, family := range families {
		delete(missing, family.GetName())
		m := metric{
			name: family.GetName(),
			kind: strings.ToLower(family.GetType().String()),
			help: family.GetHelp(),
		}
		if stability, help, ok := strings.Cut(m.help, "] "); ok {
			m.stability, m.help = strings.TrimPrefix(stability, "["), help
		}
		sample := family.GetMetric()[0]
		for _, label := range sample.GetLabel() {
			m.labels = append(m.labels, label.GetName())
		}
		for _, bucket := range sample.GetHistogram().GetBucket() {
			m.buckets = append(m.buckets, strconv.FormatFloat(bucket.GetUpperBound(), 'f', -1, 64))
		}
		found = append(found, m)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("registered but never recorded: %v", missing)
	}
	return found, nil
}

// described returns the names of all metrics that a collector can return.
func described(collector basemetrics.StableCollector) (names []string) {
	descriptions := make(chan *basemetrics.Desc)
	go func() {
		defer close(descriptions)
		collector.DescribeWithStability(descriptions)
	}()
	for d := range descriptions {
		// Only String shows the name.
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		names = append(names, name)
	}
	return names
}

// record calls all methods that record, with zero values. The reference needs the names of labels,
// not their values.
func record(r registrar) {
	value := reflect.ValueOf(r)
	for n := range value.NumMethod() {
		switch value.Type().Method(n).Name {
		case "MustRegister", "PolicyFreed": // the latter removes series
			continue
		}
		method := value.Method(n)
		arguments := make([]reflect.Value, method.Type().NumIn())
		for a := range arguments {
			arguments[a] = reflect.Zero(method.Type().In(a))
		}
		method.Call(arguments)
	}
}

func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
