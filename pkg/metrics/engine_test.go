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
	"time"

	"github.com/stretchr/testify/require"
	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

func TestEngineMetrics(t *testing.T) {
	registry := kmetrics.NewKubeRegistry()
	e := metrics.NewEngine()
	e.MustRegister(registry.MustRegister)
	registry.CustomMustRegister(metrics.NewEngineStateCollector(func() metrics.EngineState {
		return metrics.EngineState{
			Modules:     1,
			InUse:       2,
			Idle:        3,
			Waiting:     4,
			MemoryBytes: 5,
			Compilers:   6,
			Mappings:    7,
			MaxMappings: 8,
			Reset:       "copy",
			Interpreted: true,
		}
	}))
	e.ObserveLoad(time.Millisecond, time.Second)
	e.ObserveWait(time.Millisecond)
	e.ObserveEvaluation(time.Millisecond, 1000, 65536)
	e.ObserveDerivation(time.Millisecond)
	e.ObserveReset(time.Microsecond)
	e.CountFailure("call", "fuel")
	e.CountCompilation("killed")

	names := []string{
		"modules", "memory_bytes", "memory_mappings", "memory_mappings_limit", "instances",
		"module_failures_total", "engine_info", "compilations_total", "compiler_processes",
	}
	for n := range names {
		names[n] = "apiserver_wasm_admission_" + names[n]
	}
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP apiserver_wasm_admission_compilations_total [ALPHA] Number of modules that were compiled rather than read from disk, by result: ok, failed, or killed if the process that compiled died or took too long.
# TYPE apiserver_wasm_admission_compilations_total counter
apiserver_wasm_admission_compilations_total{result="killed"} 1
# HELP apiserver_wasm_admission_compiler_processes [ALPHA] Number of child processes that compile modules. They end when there is nothing to compile.
# TYPE apiserver_wasm_admission_compiler_processes gauge
apiserver_wasm_admission_compiler_processes 6
# HELP apiserver_wasm_admission_engine_info [ALPHA] 1, with how the engine works: the way in which linear memories are reset (pagemap_scan, pagemap, madvise or copy, from fast to slow), and whether code is interpreted, which is many times slower than compiled.
# TYPE apiserver_wasm_admission_engine_info gauge
apiserver_wasm_admission_engine_info{interpreted="true",reset="copy"} 1
# HELP apiserver_wasm_admission_instances [ALPHA] Number of instances of modules by state: in_use, idle, or waiting, which are evaluations that wait for one.
# TYPE apiserver_wasm_admission_instances gauge
apiserver_wasm_admission_instances{state="idle"} 3
apiserver_wasm_admission_instances{state="in_use"} 2
apiserver_wasm_admission_instances{state="waiting"} 4
# HELP apiserver_wasm_admission_memory_bytes [ALPHA] Bytes that linear memories, their images, compiled code, and instances on the Go heap take, which limits.totalMemory bounds.
# TYPE apiserver_wasm_admission_memory_bytes gauge
apiserver_wasm_admission_memory_bytes 5
# HELP apiserver_wasm_admission_memory_mappings [ALPHA] Memory mappings of the process that are set aside for instances of modules.
# TYPE apiserver_wasm_admission_memory_mappings gauge
apiserver_wasm_admission_memory_mappings 7
# HELP apiserver_wasm_admission_memory_mappings_limit [ALPHA] Memory mappings that instances may take: half of the sysctl vm.max_map_count when the server started. 0 where the system has no limit.
# TYPE apiserver_wasm_admission_memory_mappings_limit gauge
apiserver_wasm_admission_memory_mappings_limit 8
# HELP apiserver_wasm_admission_module_failures_total [ALPHA] Number of modules that failed to start and of evaluations that ended abnormally, by phase and cause.
# TYPE apiserver_wasm_admission_module_failures_total counter
apiserver_wasm_admission_module_failures_total{cause="fuel",phase="call"} 1
# HELP apiserver_wasm_admission_modules [ALPHA] Number of modules that are loaded.
# TYPE apiserver_wasm_admission_modules gauge
apiserver_wasm_admission_modules 1
`), names...))

	for name, want := range map[string]uint64{
		"module_load_duration_seconds": 2, "instance_wait_duration_seconds": 1,
		"instance_use_duration_seconds": 1,
		"evaluation_fuel":               1, "evaluation_memory_bytes": 1,
		"instance_reset_duration_seconds": 1,
		"data_parse_duration_seconds":     1,
	} {
		families, err := registry.Gather()
		require.NoError(t, err)
		var count uint64
		for _, family := range families {
			if family.GetName() == "apiserver_wasm_admission_"+name {
				for _, m := range family.GetMetric() {
					count += m.GetHistogram().GetSampleCount()
				}
			}
		}
		require.Equal(t, want, count, name)
	}
}
