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

// Package serving is what a server of admission has beside the policies that are loaded:
// the cluster that it serves and that policies look at, the file that puts policies into
// monitor mode, the watch for rules that match nothing, metrics and health checks. A plugin
// of the apiserver and a webhook server differ in how requests come to the dispatcher.
package serving

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apiserver/pkg/server/healthz"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/breakglass"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
	"github.com/wasm-admission/wasm-admission/pkg/unmatched"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Names of the health checks.
const (
	loadedCheckName  = "wasm-admission"
	currentCheckName = "wasm-admission-policies"
)

// Server has the policies of one configuration, which all dispatchers that it hands out
// share: an apiserver consists of several servers with a plugin each. It is safe for
// concurrent use.
type Server struct {
	options Options

	mu     sync.Mutex
	config []byte
	loaded *loaded // nil before it is loaded, and if it cannot be
	err    error
}

// Options are what needs libraries that the server does not link. All of it is optional.
type Options struct {
	// Guests are how policies of further execution modes are loaded.
	Guests map[abi.ExecutionMode]policyset.GuestLoader
	// NewChecker makes what checks signatures. Without it policies are not told who signed
	// images, and a configuration that demands signatures is refused.
	NewChecker assembly.CheckerFactory
	// Status tells what the server serves, once the command runs it.
	Status *Status
}

// checker makes what checks signatures of images, and of modules then too: both know one trust
// root. It is nil if policies may not ask about images.
func (o *Options) checker(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	recorder verification.RootRecorder) (verification.Checker, error) {
	if o.NewChecker == nil || len(config.Capabilities.OCI.Registries) == 0 {
		return nil, nil
	}
	var changed atomic.Value // of func(): whoever has modules verified by it
	checker, err := o.NewChecker(ctx, config,
		verification.RootOptions{Recorder: recorder, Changed: func() {
			if tell, _ := changed.Load().(func()); tell != nil {
				tell()
			}
		}})
	if err != nil {
		return nil, fmt.Errorf("verification.trustRoot: %w", err)
	}
	o.NewChecker = func(_ context.Context, _ *wasmadmission.WasmAdmissionConfiguration,
		o verification.RootOptions) (verification.Checker, error) {
		changed.Store(o.Changed)
		return checker, nil
	}
	return checker, nil
}

// NewServer returns a server that has nothing loaded.
func NewServer(options Options) *Server {
	s := &Server{options: options}
	if told := options.Status; told != nil {
		told.mu.Lock()
		defer told.mu.Unlock()
		told.server = s
	}
	return s
}

// loaded is what a configuration comes to.
type loaded struct {
	manager *reload.Manager
	// dispatch is what its dispatchers have in common.
	dispatch dispatch.Config
	// configuration is the hash of what is configured beside policies.
	configuration string
}

// Dispatcher returns what has requests for a cluster evaluated. The first call loads the
// policies of the configuration, nil for one that says nothing: all of them or none. From
// then on changes are taken over until that call's context ends, and policies look at that
// call's cluster. Further calls must have the same configuration. The error has a line for
// each problem. What is logged goes to the logger of the context.
func (s *Server) Dispatcher(ctx context.Context, config []byte,
	cluster Cluster) (*dispatch.Dispatcher, error) {
	l, err := s.load(ctx, config, cluster)
	if err != nil {
		return nil, err
	}
	own := l.dispatch
	own.Client, own.Informers, own.Authorizer, own.Excluded = cluster.Client, cluster.Informers,
		cluster.Authorizer, cluster.Excluded
	d, err := dispatch.New(own)
	if err != nil {
		return nil, err
	}
	l.manager.Subscribe(d.Use)
	return d, nil
}

// Subscribe has use called with the set that is served, at once and whenever there is
// another, before the one before is closed. Calls do not overlap, and must not wait for
// anything. Policies have to be loaded, which [Server.Dispatcher] does.
func (s *Server) Subscribe(use func(*policyset.Set)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		return errors.New("no policies are loaded")
	}
	s.loaded.manager.Subscribe(use)
	return nil
}

func (s *Server) load(ctx context.Context, config []byte, cluster Cluster) (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.loaded == nil && s.err == nil:
		s.config = config
		s.loaded, s.err = load(ctx, config, cluster, s.options)
	case !bytes.Equal(s.config, config):
		return nil, errors.New("plugins of one registration must have the same configuration")
	}
	return s.loaded, s.err
}

func load(ctx context.Context, data []byte, cluster Cluster, o Options) (*loaded, error) {
	config, err := assembly.Decode(data)
	if err == nil {
		err = policyset.JoinProblems(validation.ValidateConfiguration(config), nil)
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range validation.Warnings(config) {
		policyset.Warning{Text: warning}.Tell(ctx, nil)
	}
	recorder := policyMetrics()
	signatures, err := o.checker(ctx, config, recorder)
	if err != nil {
		return nil, err
	}
	shared, err := cluster.capabilities(ctx, config, signatures)
	if err != nil {
		return nil, err
	}
	a, err := assembly.New(ctx, config, assembly.Options{
		Guests: o.Guests, NewChecker: o.NewChecker, Capabilities: shared, Recorder: recorder,
		AdjustEngine: func(options *engine.Options) { observe(ctx, options) },
	})
	if err != nil {
		return nil, err
	}
	engineMetrics().engine.Store(a.Loader.Engine)
	l := &loaded{manager: a.Manager(reload.NewSource(config)),
		configuration: hashBesidePolicies(config), dispatch: dispatch.Config{
			Exemptions: config.Exemptions, Recorder: recorder,
			RequestTimeout: config.Limits.RequestTimeout.Duration,
			UnknownFields:  config.Mutation.UnknownFields,
		}}
	if err := l.manager.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if config.BreakGlassFile != "" {
		file := breakglass.New(breakglass.Options{
			Path: config.BreakGlassFile, Interval: config.Reload.Interval.Duration,
			Serves: l.manager.Serves, Recorder: recorder,
		})
		// Before the first request: it may be the reason for this start.
		file.Update(ctx)
		go file.Run(ctx)
		l.dispatch.Overrides = file
	}
	checker := unmatched.New(unmatched.Options{Served: cluster.served, Recorder: recorder})
	l.manager.Subscribe(checker.Use)
	go checker.Run(ctx)
	go l.manager.Run(ctx)
	return l, nil
}

// HealthChecks returns the checks for the server's readyz. The first, wasm-admission,
// passes once the policies are loaded. The second, wasm-admission-policies, says why if
// what is served is not what is configured, because a change is bad; it fails when it is
// asked for by name only, as /readyz/wasm-admission-policies, and passes as a part of
// /readyz: a server that keeps the last good set is to be mended, not to be taken out of
// service.
func (s *Server) HealthChecks() []healthz.HealthChecker {
	return []healthz.HealthChecker{
		healthz.NamedCheck(loadedCheckName, s.checkLoaded),
		healthz.NamedCheck(currentCheckName, s.checkCurrent),
	}
}

func (s *Server) checkLoaded(*http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Server) checkCurrent(r *http.Request) error {
	s.mu.Lock()
	l := s.loaded
	s.mu.Unlock()
	if l == nil || r == nil || !strings.HasSuffix(r.URL.Path, "/"+currentCheckName) {
		return nil
	}
	return explain.InOneLine(l.manager.Check())
}
