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
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/garbage"
)

// parts are the parts that samples of the profile are assigned to, by function. From the innermost
// function outward, the first part that contains a function counts. The garbage collector has
// precedence over all parts.
var parts = []struct {
	name      string
	functions []string
}{
	{"guest", []string{"runtime._ExternalCode"}},
	{"reset", []string{"pkg/engine/internal/memory.", "pkg/engine.(*Module).takeBack"}},
	{"decoding", []string{"pkg/abi.Decode", "pkg/abi.decode"}},
	{"encoding",
		[]string{"internal/apijson.", "pkg/dispatch.encode", "pkg/dispatch.(*review).encode"}},
	{"conversion", []string{"admission.NewVersionedAttributes"}},
	{"matching", []string{"pkg/dispatch.(*matcher).match"}},
	{"handover", []string{"pkg/abi", "pkg/engine", "tetratelabs/wazero"}},
	{"dispatch", []string{"wasm-admission/pkg/"}},
}

const (
	collector = "collector"
	rest      = "server"
)

var collecting = []string{
	"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge",
	"runtime.gcStart",
}

// measurement is the sum of the measurements in a namespace.
type measurement struct {
	requests int
	cpu      time.Duration
	// parts are times in microseconds, by name.
	parts map[string]float64
	// waited is the time in seconds that evaluations waited for an instance.
	waited  float64
	garbage garbage.Allocated
}

const waitSeconds = "apiserver_wasm_admission_instance_wait_duration_seconds_sum"

// measure creates Pods while it takes a profile, and then deletes them.
func (s *server) measure(ctx context.Context, namespace string, counts bool) error {
	pods := s.Clientset().CoreV1().Pods(namespace)
	before, err := s.heap.Counters(ctx)
	if err != nil {
		return err
	}
	start, err := figure.ProcessorTimeOf(s.PID())
	if err != nil {
		return err
	}
	type answer struct {
		profile string
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		status, body, err := s.Get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
		if err == nil && status != 200 {
			err = fmt.Errorf("profile: status %d: %s", status, body)
		}
		done <- answer{body, err}
	}()
	m := s.measured[namespace]
	if !counts {
		m = &measurement{parts: map[string]float64{}}
	}
	for {
		select {
		case a := <-done:
			if a.err != nil {
				return a.err
			}
			end, err := figure.ProcessorTimeOf(s.PID())
			if err != nil {
				return err
			}
			after, err := s.heap.Counters(ctx)
			if err != nil {
				return err
			}
			m.cpu += end - start
			m.waited += after[waitSeconds] - before[waitSeconds]
			m.garbage.Bytes += after.Allocated().Bytes - before.Allocated().Bytes
			m.garbage.Pieces += after.Allocated().Pieces - before.Allocated().Pieces
			if err := m.add(ctx, s.directory, a.profile); err != nil {
				return err
			}
			if err := pods.DeleteCollection(ctx,
				metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
				metav1.ListOptions{}); err != nil {
				return err
			}
			return s.heap.Collect(ctx)
		default:
			pod := s.pod.DeepCopy()
			pod.Name = fmt.Sprintf("pod-%d", m.requests)
			if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return err
			}
			m.requests++
		}
	}
}

// add counts the samples of a profile, which it reads with Go's own tool.
func (m *measurement) add(ctx context.Context, directory, profile string) error {
	path := filepath.Join(directory, "profile")
	if err := os.WriteFile(path, []byte(profile), 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", path).Output() //nolint:gosec // the path is our own
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	for sample := range strings.SplitSeq(string(out), "-----------+") {
		_, stack, _ := strings.Cut(sample, "\n")
		lines := strings.Split(strings.TrimSpace(stack), "\n")
		value, function, _ := strings.Cut(lines[0], " ")
		used, err := time.ParseDuration(value)
		if err != nil {
			continue // the header, or the end
		}
		lines[0] = function
		m.parts[partOf(lines)] += figure.Microseconds(used)
	}
	return nil
}

// partOf returns the part that a stack belongs to. The stack starts with the innermost function.
func partOf(stack []string) string {
	for _, function := range stack {
		if containsAny(function, collecting) {
			return collector
		}
	}
	for _, function := range stack {
		for _, p := range parts {
			if containsAny(function, p.functions) {
				return p.name
			}
		}
	}
	return rest
}

func containsAny(text string, all []string) bool {
	for _, s := range all {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// report prints the difference between requests with and without a policy.
func (s *server) report() {
	none, one := s.measured[namespaces[0]], s.measured[namespaces[1]]
	added := func(of func(*measurement) float64) float64 {
		return of(one)/float64(one.requests) - of(none)/float64(none.requests)
	}
	figure.Print(s.prefix+"part_requests", float64(one.requests), "requests")
	for _, p := range parts {
		figure.Print(s.prefix+"part_"+p.name+"_us",
			added(func(m *measurement) float64 { return m.parts[p.name] }), "us")
	}
	figure.Print(s.prefix+"part_"+rest+"_us",
		added(func(m *measurement) float64 { return m.parts[rest] }), "us")
	figure.Print(s.prefix+"part_"+collector+"_us", added(func(m *measurement) float64 {
		return m.parts[collector] + s.price(m)
	}), "us")
	figure.Print(s.prefix+"part_waiting_us",
		1e6*added(func(m *measurement) float64 { return m.waited }), "us")
	figure.Print(s.prefix+"part_all_us",
		added(func(m *measurement) float64 { return figure.Microseconds(m.cpu) + s.price(m) }), "us")
	figure.Print(s.prefix+"garbage_bytes",
		added(func(m *measurement) float64 { return m.garbage.Bytes }), "bytes")
	figure.Print(s.prefix+"garbage_pieces",
		added(func(m *measurement) float64 { return m.garbage.Pieces }), "allocations")
}

// price returns the microseconds that the collector takes for the garbage of a measurement.
func (s *server) price(m *measurement) float64 {
	return figure.Microseconds(s.heap.Price(m.garbage.Bytes))
}
