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

package serving

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/status"
)

// policyMetrics are the metrics of all dispatchers in this process. The server's own /metrics
// serves them, where a metric can be registered only once.
var policyMetrics = sync.OnceValue(func() *metrics.Policies {
	m := metrics.NewPolicies()
	m.MustRegister(legacyregistry.MustRegister)
	return m
})

// clusterMetrics are the metrics of the capability that reads the cluster.
var clusterMetrics = sync.OnceValue(func() *metrics.Cluster {
	m := metrics.NewCluster()
	m.MustRegister(legacyregistry.MustRegister)
	return m
})

// imageMetrics are the metrics of the capability that reads images.
var imageMetrics = sync.OnceValue(func() *metrics.Images {
	m := metrics.NewImages()
	m.MustRegister(legacyregistry.MustRegister)
	return m
})

// serverMetrics are the metrics about all servers of the cluster.
var serverMetrics = sync.OnceValue(func() *metrics.Servers {
	m := metrics.NewServers()
	m.MustRegister(legacyregistry.MustRegister)
	return m
})

// observeServers sets the table of all servers that the metrics describe.
func observeServers(table *status.Table) {
	m := serverMetrics()
	for _, state := range status.States {
		m.SetServers(string(state), table.Count(state))
	}
	m.SetDifferent(table.RunningSets, table.Configurations)
}

// engineMetrics are the metrics of all engines in this process. Gauges show the latest engine.
var engineMetrics = sync.OnceValue(func() *engineRecorder {
	r := &engineRecorder{Engine: metrics.NewEngine()}
	r.MustRegister(legacyregistry.MustRegister)
	legacyregistry.CustomMustRegister(metrics.NewEngineStateCollector(r.state))
	return r
})

// engineRecorder passes an engine's numbers to its metrics.
type engineRecorder struct {
	*metrics.Engine
	engine atomic.Pointer[engine.Engine]
}

var _ engine.Recorder = &engineRecorder{}

func (r *engineRecorder) state() metrics.EngineState {
	e := r.engine.Load()
	if e == nil {
		return metrics.EngineState{}
	}
	s := e.Stats()
	return metrics.EngineState{Modules: s.Modules, InUse: s.InUse, Idle: s.Idle, Waiting: s.Waiting,
		MemoryBytes: s.MemoryBytes,
		Mappings:    s.Mappings, MaxMappings: s.MaxMappings, Compilers: s.Compilers,
		Reset: string(s.Reset), Interpreted: s.Interpreter}
}

// observe makes an engine log to the logger of the context and report its metrics.
func observe(ctx context.Context, options *engine.Options) {
	options.Logger, options.Recorder = slog.New(logr.ToSlogHandler(klog.FromContext(ctx))),
		engineMetrics()
}
