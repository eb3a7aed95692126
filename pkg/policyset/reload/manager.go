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

// Package reload keeps the policies served that a source wants. It looks for changes, loads the new
// set while the current one is served, and keeps the last good set, even after a restart, if the
// new one cannot be loaded.
package reload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/internal/filewatch"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/stray"
)

// defaultInterval is how often the manager looks for changes if the configuration has no interval.
const defaultInterval = time.Minute

// Options configure a manager. Config, Source and Loader are required.
type Options struct {
	// Config is the validated configuration. The manager ignores its policies, because they come
	// from the source.
	Config *wasmadmission.WasmAdmissionConfiguration
	// Source says which policies to serve.
	Source Source
	// Loader loads sets.
	Loader *policyset.Loader
	// Store is the store in which the loader's fetcher keeps modules, or nil. The manager removes
	// modules from it that neither the current nor the previous set needs.
	Store *module.Store
	// Verifier verifies the modules that the loader's fetcher gets. nil means that they are not
	// verified.
	Verifier module.Verifier
	// Changed receives a value if the verification of modules may have changed and no file shows
	// it. nil means never.
	Changed <-chan struct{}
	// Recorder records what happens. nil discards everything.
	Recorder Recorder
	// Clock is for tests. Default: the system clock.
	Clock clock.WithTicker
}

// Manager serves the set of policies that its source wants. It keeps serving the current set if the
// new one cannot be loaded. It is safe for concurrent use. Call Start before Run.
type Manager struct {
	options  Options
	interval time.Duration
	timeout  time.Duration // of one attempt to load a set
	lastGood *lastGood     // nil: nothing is kept
	strays   stray.Calls
	asking   turn // held while asking the source

	// Only Start and the looks of Run use the following fields.
	resolved *resolution     // of the last desired set that could be read
	known    map[string]bool // digests of the modules that are served
	keptAs   string          // identifies the verification of the modules that were kept last
	trouble  trouble
	warned   sets.Set[string] // warnings that are in the log

	mu          sync.Mutex
	set         *policyset.Set
	status      Status
	subscribers []func(*policyset.Set)
	listeners   []func()
}

// Status compares the set that is served with the desired one.
type Status struct {
	// Desired and Running are the hashes of the sets. Desired is "unknown" if the desired set
	// cannot be read.
	Desired, Running string
	// Since is when the running set began to be served.
	Since time.Time
	// FailedSince is since when the desired set cannot be loaded, or zero if it is running.
	FailedSince time.Time
	// Reason says why, one line for each problem. It is nil if the desired set is running.
	Reason error
	// Kept is set if the running set was kept by an earlier process.
	Kept bool
}

// New returns a manager that does not serve a set yet.
func New(o Options) *Manager {
	if o.Recorder == nil {
		o.Recorder = discard{}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	m := &Manager{
		options:  o,
		interval: cmp.Or(o.Config.Reload.Interval.Duration, defaultInterval),
		timeout:  cmp.Or(o.Config.Reload.LoadTimeout.Duration, defaultLoadTimeout),
		asking:   make(turn, 1),
		resolved: &resolution{},
		set:      &policyset.Set{},
	}
	if o.Config.Reload.KeepLastGood && o.Config.StateDirectory != "" {
		m.lastGood = newLastGood(filepath.Join(o.Config.StateDirectory, "last-good"))
	}
	return m
}

// Subscribe calls use with the set that is served, at once and for every later set, before it
// closes the previous set. Calls do not overlap, and must not block.
func (m *Manager) Subscribe(use func(*policyset.Set)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, use)
	use(m.set)
}

// Listen calls changed whenever the result of [Manager.Status] changes. It must not block.
func (m *Manager) Listen(changed func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, changed)
}

// Status returns the current status.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Check returns nil if the desired set is served. Otherwise the error says why it is not, and since
// when.
func (m *Manager) Check() error {
	status := m.Status()
	if status.Reason == nil {
		return nil
	}
	served := "the previous set is served"
	if status.Kept {
		served = "a set that an earlier process kept is served"
	}
	return fmt.Errorf("since %s the configured policies cannot be loaded, and %s: %w",
		status.FailedSince.UTC().Format(time.RFC3339), served, status.Reason)
}

// Serves reports whether the set that is served has a policy or group with this name.
func (m *Manager) Serves(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, policy := range m.set.Policies() {
		if policy.Name() == name {
			return true
		}
	}
	return false
}

// Start loads the policies for the first time. If they cannot be loaded in time, and the
// configuration asks for it, Start serves the kept set instead if there is one. Loading that may
// take as much time again. The error has one line for each problem.
func (m *Manager) Start(ctx context.Context) error {
	defer func() { m.resolved.drop() }()
	began := m.options.Clock.Now()
	set, goal, err := m.try(ctx, func(*goal) bool { return true })
	if err == nil {
		m.succeed(ctx, set, goal, began)
		return nil
	}
	m.options.Recorder.ObserveReload(resultFailed, m.options.Clock.Since(began))
	if m.lastGood == nil {
		return err
	}
	kept, set, errKept := m.loadLastGood(ctx)
	if errKept != nil {
		return errors.Join(err,
			fmt.Errorf("the set that was served last cannot be served instead: %w", errKept))
	}
	m.swap(set, Status{Desired: goal.hash, Running: kept.Hash, Kept: true})
	m.fail(ctx, goal.hash, err)
	return nil
}

// Run applies changes until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	filewatch.Run(ctx, filewatch.Options{
		Paths:    m.paths,
		Interval: m.interval,
		Also:     m.options.Changed,
		Clock:    m.options.Clock,
	}, m.takeOver)
}

// takeOver applies a change if it is good.
func (m *Manager) takeOver(ctx context.Context) {
	defer func() { m.resolved.drop() }()
	defer func() {
		if r := recover(); r != nil {
			m.fail(ctx, unknown, fmt.Errorf("panic while looking for changes: %v", r))
		}
	}()
	began := m.options.Clock.Now()
	set, goal, err := m.try(ctx, func(g *goal) bool {
		return !m.isServed(g) && m.trouble.due(g.hash, began)
	})
	switch {
	case err == nil:
		m.succeed(ctx, set, goal, began)
	case ctx.Err() != nil: // the process is ending
	case !errors.Is(err, errNotNeeded):
		m.options.Recorder.ObserveReload(resultFailed, m.options.Clock.Since(began))
		m.fail(ctx, goal.hash, err)
	case m.isServed(goal):
		m.mend(ctx, goal)
	default:
		m.remind(ctx)
	}
}

// isServed reports whether a goal is the set that is served.
func (m *Manager) isServed(g *goal) bool {
	return g.err == nil && g.hash == m.Status().Running
}

// turn is a lock whose waiters can give up. Create it with a capacity of one.
type turn chan struct{}

// take waits for the turn. The caller must call giveBack.
func (t turn) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
