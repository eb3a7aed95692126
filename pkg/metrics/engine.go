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
	"strconv"
	"time"

	"k8s.io/component-base/metrics"
)

// Engine are the metrics of the engine that runs modules. It implements the Recorder of package
// engine with Kubernetes' metrics library.
type Engine struct {
	loads       *metrics.HistogramVec
	compiled    *metrics.CounterVec
	waits       *metrics.Histogram
	evaluations *metrics.Histogram
	fuel        *metrics.Histogram
	memory      *metrics.Histogram
	resets      *metrics.Histogram
	derivations *metrics.Histogram
	failures    *metrics.CounterVec
}

// EngineState is the state of an engine at one moment, over all modules.
type EngineState struct {
	// Modules is how many modules are loaded.
	Modules int
	// InUse counts the instances that evaluations hold, Idle those that are ready, and Waiting the
	// evaluations that wait for one.
	InUse, Idle, Waiting int
	// MemoryBytes is the size of linear memories, their images, compiled code, and instances on the
	// Go heap.
	MemoryBytes uint64
	// Mappings is how many memory mappings of the process are reserved for instances, and
	// MaxMappings how many may be. 0 means that the system has no limit.
	Mappings, MaxMappings uint64
	// Compilers is the number of child processes that compile.
	Compilers int
	// Reset is how linear memories are reset to their snapshot, or "" if there is no engine.
	Reset string
	// Interpreted is set if code is interpreted, not compiled.
	Interpreted bool
}

// NewEngine returns metrics that are not registered yet.
func NewEngine() *Engine {
	return &Engine{
		// Small modules from disk take milliseconds. Go modules of 84 MB compile for 20 seconds.
		loads: histograms("module_load_duration_seconds",
			"Time that loading a module took, by step: rewrite, or compile, which includes reading compiled code from disk.",
			[]float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60}, "step"),
		compiled: counters("compilations_total",
			"Number of modules that were compiled rather than read from disk, by result: ok, failed, or killed if the process that compiled died or took too long.",
			"result"),
		// Creating an instance takes a fraction of a millisecond.
		waits: histogram("instance_wait_duration_seconds",
			"Time that evaluations waited for an instance of their module, or for one to be created or prepared with their data. Evaluations that found one ready are not counted.",
			[]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 2.5}),
		evaluations: histogram("instance_use_duration_seconds",
			"Time for which evaluations held an instance of their module, including the wait for it.",
			evaluationBuckets),
		// Small guests burn tens of thousands of units, guests in Go millions. The default limit is
		// 20 billion.
		fuel: histogram("evaluation_fuel",
			"Fuel that evaluations burned, one to two and a half units for each instruction.",
			metrics.ExponentialBuckets(1e3, 10, 8)),
		// From one page to the largest possible memory.
		memory: histogram("evaluation_memory_bytes",
			"Size of the linear memory at the end of evaluations.",
			metrics.ExponentialBuckets(64<<10, 4, 9)),
		// Two microseconds for a few pages, milliseconds for whole memories.
		resets: histogram("instance_reset_duration_seconds",
			"Time to reset an instance to its snapshot.",
			[]float64{
				0.000002, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.001, 0.005,
				0.025, 0.1,
			}),
		// One megabyte takes 30 milliseconds.
		derivations: histogram("data_parse_duration_seconds",
			"Time that a module took to parse large data once for all evaluations, such as the settings and the cluster for policies in Rego. Includes the wait for an instance.",
			[]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}),
		failures: counters("module_failures_total",
			"Number of modules that failed to start and of evaluations that ended abnormally, by phase and cause.",
			"phase", "cause"),
	}
}

// MustRegister registers the metrics. register is the MustRegister method of a registry, such as
// that of k8s.io/component-base/metrics/legacyregistry.
func (e *Engine) MustRegister(register func(...metrics.Registerable)) {
	register(e.loads, e.compiled, e.waits, e.evaluations, e.fuel, e.memory, e.resets, e.derivations,
		e.failures)
}

// ObserveLoad implements the engine's Recorder.
func (e *Engine) ObserveLoad(rewriting, compiling time.Duration) {
	e.loads.WithLabelValues("rewrite").Observe(rewriting.Seconds())
	e.loads.WithLabelValues("compile").Observe(compiling.Seconds())
}

// CountCompilation implements the engine's Recorder.
func (e *Engine) CountCompilation(result string) { e.compiled.WithLabelValues(result).Inc() }

// ObserveWait implements the engine's Recorder.
func (e *Engine) ObserveWait(duration time.Duration) { e.waits.Observe(duration.Seconds()) }

// ObserveEvaluation implements the engine's Recorder.
func (e *Engine) ObserveEvaluation(duration time.Duration, fuel, memoryBytes int64) {
	e.evaluations.Observe(duration.Seconds())
	e.fuel.Observe(float64(fuel))
	e.memory.Observe(float64(memoryBytes))
}

// ObserveDerivation implements the engine's Recorder.
func (e *Engine) ObserveDerivation(duration time.Duration) {
	e.derivations.Observe(duration.Seconds())
}

// ObserveReset implements the engine's Recorder.
func (e *Engine) ObserveReset(duration time.Duration) { e.resets.Observe(duration.Seconds()) }

// CountFailure implements the engine's Recorder.
func (e *Engine) CountFailure(phase, cause string) {
	e.failures.WithLabelValues(phase, cause).Inc()
}

// NewEngineStateCollector returns a collector that calls state whenever it is collected. It is for
// the CustomMustRegister method of a registry.
func NewEngineStateCollector(state func() EngineState) metrics.StableCollector {
	return &engineStateCollector{state: state}
}

type engineStateCollector struct {
	metrics.BaseStableCollector
	state func() EngineState
}

var (
	modulesDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "modules"),
		"Number of modules that are loaded.", nil, nil, metrics.ALPHA, "")
	memoryDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "memory_bytes"),
		"Bytes that linear memories, their images, compiled code, and instances on the Go heap take, which limits.totalMemory bounds.",
		nil, nil, metrics.ALPHA, "")
	instancesDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "instances"),
		"Number of instances of modules by state: in_use, idle, or waiting, which are evaluations that wait for one.",
		[]string{"state"}, nil, metrics.ALPHA, "")
	mappingsDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "memory_mappings"),
		"Memory mappings of the process that are set aside for instances of modules.", nil, nil,
		metrics.ALPHA, "")
	maxMappingsDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "memory_mappings_limit"),
		"Memory mappings that instances may take: half of the sysctl vm.max_map_count when the server started. 0 where the system has no limit.",
		nil, nil, metrics.ALPHA, "")
	compilersDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "compiler_processes"),
		"Number of child processes that compile modules. They end when there is nothing to compile.",
		nil, nil, metrics.ALPHA, "")
	engineDesc = metrics.NewDesc(metrics.BuildFQName(namespace, subsystem, "engine_info"),
		"1, with how the engine works: the way in which linear memories are reset (pagemap_scan, pagemap, madvise or copy, from fast to slow), and whether code is interpreted, which is many times slower than compiled.",
		[]string{"reset", "interpreted"}, nil, metrics.ALPHA, "")
)

// DescribeWithStability implements [metrics.StableCollector].
func (c *engineStateCollector) DescribeWithStability(ch chan<- *metrics.Desc) {
	ch <- modulesDesc
	ch <- memoryDesc
	ch <- instancesDesc
	ch <- mappingsDesc
	ch <- maxMappingsDesc
	ch <- compilersDesc
	ch <- engineDesc
}

// CollectWithStability implements [metrics.StableCollector].
func (c *engineStateCollector) CollectWithStability(ch chan<- metrics.Metric) {
	s := c.state()
	gauge := func(desc *metrics.Desc, value float64, labels ...string) {
		ch <- metrics.NewLazyConstMetric(desc, metrics.GaugeValue, value, labels...)
	}
	gauge(modulesDesc, float64(s.Modules))
	gauge(memoryDesc, float64(s.MemoryBytes))
	gauge(mappingsDesc, float64(s.Mappings))
	gauge(maxMappingsDesc, float64(s.MaxMappings))
	gauge(compilersDesc, float64(s.Compilers))
	gauge(instancesDesc, float64(s.InUse), "in_use")
	gauge(instancesDesc, float64(s.Idle), "idle")
	gauge(instancesDesc, float64(s.Waiting), "waiting")
	if s.Reset != "" {
		gauge(engineDesc, 1, s.Reset, strconv.FormatBool(s.Interpreted))
	}
}
