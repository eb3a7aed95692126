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
	"fmt"
	"net/http"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/breakglass"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/unmatched"
)

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
	// guests are how policies of further execution modes are loaded.
	guests map[abi.ExecutionMode]policyset.GuestLoader

	mu     sync.Mutex
	done   bool
	config []byte
	loaded *loadedPolicies
	err    error
}

// loadedPolicies is what a configuration comes to.
type loadedPolicies struct {
	config   *wasmadmission.WasmAdmissionConfiguration
	manager  *policyset.Manager
	recorder metrics.Recorder
	// breakGlass is nil if there is no such file.
	breakGlass *breakglass.File
}

// overrides returns what changes policies' modes while requests are served, if anything
// does.
func (l *loadedPolicies) overrides() dispatch.Overrides {
	if l.breakGlass == nil {
		return nil
	}
	return l.breakGlass
}

// load loads the policies of a configuration, the first time it is called, and takes
// over changes until stop is closed. They look at the cluster with what the first plugin has.
func (s *sharedPolicies) load(config []byte, view clusterView, stop <-chan struct{}) (*loadedPolicies, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done && !bytes.Equal(s.config, config) {
		return nil, errors.New("plugins of one registration must have the same configuration")
	}
	if !s.done {
		s.config = config
		logger := klog.Background().WithName(PluginName)
		s.loaded, s.err = loadPolicies(klog.NewContext(wait.ContextForChannel(stop), logger), config, view, s.guests)
		s.done = true
	}
	return s.loaded, s.err
}

// checkLoaded is the readyz check of whether there are policies to serve.
func (s *sharedPolicies) checkLoaded(*http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// checkCurrent is the readyz check of whether the policies that are served are the
// configured ones. It fails only when it is asked for by name: a server that keeps the
// last good set is to be mended, not to be taken out of service.
func (s *sharedPolicies) checkCurrent(r *http.Request) error {
	s.mu.Lock()
	loaded := s.loaded
	s.mu.Unlock()
	if loaded == nil || r == nil || !strings.HasSuffix(r.URL.Path, "/"+currentCheckName) {
		return nil
	}
	return inOneLine(loaded.manager.Check())
}

// inOneLine numbers the problems that an error tells of a line each, and puts them into one
// line: kubectl quotes what a check says, so that the ends of lines become "\n".
func inOneLine(err error) error {
	reason := errors.Unwrap(err)
	if reason == nil || !strings.Contains(reason.Error(), "\n") {
		return err
	}
	problems := strings.Split(reason.Error(), "\n")
	for n := range problems {
		problems[n] = fmt.Sprintf("(%d) %s", n+1, problems[n])
	}
	head := strings.TrimSuffix(err.Error(), reason.Error())
	return fmt.Errorf("%s%d problems: %s", head, len(problems), strings.Join(problems, "; "))
}

func loadPolicies(ctx context.Context, data []byte, view clusterView, guests map[abi.ExecutionMode]policyset.GuestLoader) (*loadedPolicies, error) {
	if data == nil {
		data = load.Empty()
	}
	config, err := load.LoadFromData(data)
	if config != nil {
		err = errors.Join(err, policyset.JoinProblems(validation.ValidateConfiguration(config)))
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range validation.Warnings(config) {
		policyset.Warning{Text: warning}.Log(ctx)
	}
	e, err := newEngine(config, klog.FromContext(ctx))
	if err != nil {
		return nil, err
	}
	fetcher, store, err := policyset.NewFetcher(ctx, config, nil)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	shared, err := newCapabilities(ctx, config, view)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	loaded := &loadedPolicies{config: config, recorder: defaultRecorder()}
	loaded.manager = policyset.NewManager(policyset.ManagerOptions{
		Config:   config,
		Source:   policyset.NewSource(config),
		Loader:   &policyset.Loader{Engine: e, Fetcher: fetcher, Guests: guests, Recorder: loaded.recorder, Capabilities: shared},
		Store:    store,
		Recorder: loaded.recorder,
	})
	if err := loaded.manager.Start(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if config.BreakGlassFile != "" {
		loaded.breakGlass = breakglass.New(breakglass.Options{
			Path: config.BreakGlassFile, Interval: config.Reload.Interval.Duration,
			Serves: loaded.manager.Serves, Recorder: loaded.recorder,
		})
		// Before the first request: it may be the reason for this start.
		loaded.breakGlass.Look(ctx)
		go loaded.breakGlass.Run(ctx)
	}
	checker := unmatched.New(unmatched.Options{Served: view.served, Recorder: loaded.recorder})
	loaded.manager.Subscribe(checker.Use)
	go checker.Run(ctx)
	go loaded.manager.Run(ctx)
	return loaded, nil
}
