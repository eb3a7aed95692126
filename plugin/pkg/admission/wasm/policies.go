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

package wasm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// engineMetrics serves all engines of the process; its gauges show the one that was
// made last.
var engineMetrics = sync.OnceValue(func() *engineRecorder {
	r := &engineRecorder{Engine: metrics.NewEngine()}
	r.MustRegister(legacyregistry.MustRegister)
	legacyregistry.CustomMustRegister(metrics.NewEngineStateCollector(r.state))
	return r
})

// engineRecorder hands an engine's numbers to its metrics.
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
	return metrics.EngineState{Modules: s.Modules, InUse: s.InUse, Idle: s.Idle, Waiting: s.Waiting, MemoryBytes: s.MemoryBytes,
		Reset: string(s.Reset), Interpreted: s.Interpreter}
}

// defaultRecorder serves all plugins of the process from the apiserver's own
// /metrics, where a metric can be registered once only.
var defaultRecorder = sync.OnceValue(func() metrics.Recorder {
	recorder := metrics.NewPrometheus()
	recorder.MustRegister(legacyregistry.MustRegister)
	return recorder
})

// sharedPolicies are the policies of all plugins of one registration. An
// apiserver makes several: one for each of the servers that it consists of, all
// with the same configuration. They share what is compiled.
type sharedPolicies struct {
	mu     sync.Mutex
	done   bool
	config []byte
	loaded *loadedPolicies
	err    error
}

// loadedPolicies is what a configuration comes to.
type loadedPolicies struct {
	set        *policyset.Set
	exemptions wasmadmission.Exemptions
	recorder   metrics.Recorder
	// requestTimeout is limits.requestTimeout.
	requestTimeout time.Duration
}

// load loads the policies of a configuration, the first time it is called.
func (s *sharedPolicies) load(config []byte) (*loadedPolicies, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done && !bytes.Equal(s.config, config) {
		return nil, errors.New("plugins of one registration must have the same configuration")
	}
	if !s.done {
		s.config = config
		s.loaded, s.err = loadPolicies(context.Background(), config)
		s.done = true
	}
	return s.loaded, s.err
}

// check is the readyz check.
func (s *sharedPolicies) check(*http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func loadPolicies(ctx context.Context, data []byte) (*loadedPolicies, error) {
	logger := klog.FromContext(ctx).WithName(PluginName)
	ctx = klog.NewContext(ctx, logger)
	recorder := defaultRecorder()
	config := &wasmadmission.WasmAdmissionConfiguration{}
	if data != nil {
		var err error
		if config, err = load.LoadFromData(data); err != nil {
			return nil, err
		}
		if errs := validation.ValidateConfiguration(config); len(errs) > 0 {
			return nil, problems(errs)
		}
		for _, warning := range validation.Warnings(config) {
			logger.Info("Warning: " + warning)
		}
	}
	loaded := &loadedPolicies{set: &policyset.Set{}, exemptions: config.Exemptions, recorder: recorder, requestTimeout: config.Limits.RequestTimeout.Duration}
	if len(config.Policies)+len(config.PolicyGroups) == 0 {
		logger.Error(nil, "Warning: the feature is enabled and NO POLICY is configured: every request is admitted. Name policies in the file given by --admission-control-config-file, or switch the feature gate off")
		recorder.SetPolicies(0)
		return loaded, nil
	}
	e, err := newEngine(config, logger)
	if err != nil {
		return nil, err
	}
	set, errs := (&policyset.Loader{Engine: e, Recorder: recorder}).Load(ctx, config)
	if len(errs) > 0 {
		return nil, errors.Join(problems(errs), e.Close())
	}
	loaded.set = set
	recorder.SetPolicies(len(set.Policies()))
	logger.Info("Policies are loaded", "count", len(set.Policies()))
	return loaded, nil
}

func newEngine(config *wasmadmission.WasmAdmissionConfiguration, logger klog.Logger) (*engine.Engine, error) {
	options := engine.Options{
		Limits: engine.Limits{
			ModuleBytes: config.Limits.ModuleSize,
			MemoryBytes: config.Limits.Memory,
			Timeout:     config.Limits.EvaluationTimeout.Duration,
		},
		Logger:   slog.New(logr.ToSlogHandler(logger)),
		Recorder: engineMetrics(),
	}
	if config.StateDirectory != "" {
		options.CacheDirectory = filepath.Join(config.StateDirectory, "compiled")
	}
	e, err := engine.New(options)
	if err == nil {
		engineMetrics().engine.Store(e)
	}
	return e, err
}

// problems makes an error of everything that is wrong with a configuration, a
// line each.
func problems(errs field.ErrorList) error {
	lines := make([]string, len(errs))
	for n, err := range errs {
		lines[n] = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return errors.New(strings.Join(lines, "\n"))
}
