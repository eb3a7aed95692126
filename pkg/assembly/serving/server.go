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

// Package serving holds the parts of an admission server besides its policies: access to the
// cluster for policies, the break-glass file, the check for rules that match nothing, metrics and
// health checks. The apiserver's plugin and the webhook server both use it, and differ in how
// requests reach the dispatcher.
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

// Server holds the policies of one configuration. All dispatchers that it returns share them,
// because an apiserver consists of several servers with one plugin each. It is safe for concurrent
// use.
type Server struct {
	options Options

	mu     sync.Mutex
	config []byte
	loaded *loaded // nil before it is loaded, and if it cannot be
	err    error
}

// Options are the parts that need libraries that this package does not link. All are optional.
type Options struct {
	// Guests load policies of further execution modes.
	Guests map[abi.ExecutionMode]policyset.GuestLoader
	// NewChecker creates the checker of signatures. Without it, policies cannot ask who signed an
	// image, and a configuration that demands signatures is an error.
	NewChecker assembly.CheckerFactory
	// Status publishes what the server serves. It starts when the command calls its Run.
	Status *Status
}

// checker creates the checker for the signatures of images, and makes the signatures of modules use
// the same one, so that they share one trust root. It returns nil if policies may not ask about
// images.
func (o *Options) checker(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	recorder verification.RootRecorder) (verification.Checker, error) {
	if o.NewChecker == nil || len(config.Capabilities.OCI.Registries) == 0 {
		return nil, nil
	}
	var changed atomic.Value // of func(): told when the trust root changes
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

// NewServer returns a server without policies.
func NewServer(options Options) *Server {
	s := &Server{options: options}
	if told := options.Status; told != nil {
		told.mu.Lock()
		defer told.mu.Unlock()
		told.server = s
	}
	return s
}

// loaded is a configuration that is in use.
type loaded struct {
	manager *reload.Manager
	// dispatch is the part of the configuration that all dispatchers share.
	dispatch dispatch.Config
	// configuration is the hash of everything in the configuration except policies.
	configuration string
}

// Dispatcher returns a dispatcher for the requests of a cluster. The first call loads all policies
// of the configuration, or fails. A nil config is an empty configuration. Until the context of the
// first call ends, the server applies changes, and policies read the cluster of that call. Further
// calls must pass the same configuration. The error has one line for each problem. Log lines go to
// the logger of the context.
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

// Subscribe calls use with the set that is served, at once and for every later set, before it
// closes the previous set. Calls do not overlap, and must not block. [Server.Dispatcher] must have
// loaded the policies.
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
		// Read it before the first request: the server may have been restarted because of it.
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

// HealthChecks returns the checks for the server's readyz. The first, wasm-admission, passes once
// the policies are loaded. The second, wasm-admission-policies, fails if the server does not serve
// what is configured, because a change is bad, and says why. It fails only when requested by name,
// as /readyz/wasm-admission-policies, and passes as part of /readyz: a server that keeps the last
// good set needs repair, but must stay in service.
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
