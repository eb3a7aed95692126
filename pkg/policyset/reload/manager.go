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

// Package reload keeps the policies served that a source wants: it looks for changes, loads
// what has changed beside what is served, and keeps the last good set, over a restart too,
// while what is wanted cannot be loaded.
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

// defaultInterval is how often everything is looked at if the configuration does not
// say.
const defaultInterval = time.Minute

// Options is what a manager works with. Config, Source and Loader are required.
type Options struct {
	// Config is the configuration, validated. Of its policies nothing is taken: those
	// come from the source.
	Config *wasmadmission.WasmAdmissionConfiguration
	// Source says which policies are wanted.
	Source Source
	// Loader makes sets of them.
	Loader *policyset.Loader
	// Store is where the loader's fetcher keeps modules; nil if it does not. Modules that
	// neither the set that is served needs nor the one before are removed from it.
	Store *module.Store
	// Verifier is what the loader's fetcher verifies modules by; nil if it does not.
	Verifier module.Verifier
	// Changed gets a value when modules may be verified by something else from now on, in a
	// way that no file tells. nil is never.
	Changed <-chan struct{}
	// Recorder takes notes; nil discards them.
	Recorder Recorder
	// Clock is for tests. Default: the system's.
	Clock clock.WithTicker
}

// Manager serves the set of policies that its source wants, and keeps the set that it
// has while what the source wants cannot be loaded. It is safe for concurrent use; Start
// comes first and Run second.
type Manager struct {
	options  Options
	interval time.Duration
	timeout  time.Duration // of one try to load a set
	lastGood *lastGood     // nil: nothing is kept
	strays   stray.Calls
	asking   turn // of the source

	// What only Start and Run's looks touch.
	resolved *resolution     // what was wanted last, if that could be read
	known    map[string]bool // digests of the modules that are served
	keptAs   string          // what had verified the modules that were kept last
	trouble  trouble
	warned   sets.Set[string] // warnings that the log has

	mu          sync.Mutex
	set         *policyset.Set
	status      Status
	subscribers []func(*policyset.Set)
	listeners   []func()
}

// Status is how what is served stands to what is wanted.
type Status struct {
	// Desired and Running are the hashes of the sets. Desired is "unknown" if not even
	// that could be found out.
	Desired, Running string
	// Since is since when the running set is served.
	Since time.Time
	// FailedSince is since when the desired set cannot be loaded; zero if it is running.
	FailedSince time.Time
	// Reason says why, a line for each problem; nil if it is running.
	Reason error
	// Kept is whether the running set was kept by an earlier process.
	Kept bool
}

// New returns a manager that serves nothing yet.
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

// Subscribe has use called with the set that is served, at once and whenever there is
// another, before the one before is closed. Calls do not overlap, and must not wait for
// anything.
func (m *Manager) Subscribe(use func(*policyset.Set)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribers = append(m.subscribers, use)
	use(m.set)
}

// Listen has changed called whenever [Manager.Status] returns something else. It must not
// wait for anything.
func (m *Manager) Listen(changed func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, changed)
}

// Status returns how things stand.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Check returns nil if what is served is what is wanted, and otherwise why and since
// when it is not.
func (m *Manager) Check() error {
	status := m.Status()
	if status.Reason == nil {
		return nil
	}
	served := "the set before it is served"
	if status.Kept {
		served = "a set that an earlier process kept is served"
	}
	return fmt.Errorf("since %s the configured policies cannot be loaded, and %s: %w",
		status.FailedSince.UTC().Format(time.RFC3339), served, status.Reason)
}

// Serves is whether a policy or group of that name is in the set that is served.
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

// Start loads the policies for the first time. If they cannot be loaded, or not in time,
// the set that was kept last is served instead, if the configuration has it so and there
// is one, for which there is as much time again. The error has a line for each problem.
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

// Run takes over changes until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	filewatch.Run(ctx, filewatch.Options{
		Paths:    m.paths,
		Interval: m.interval,
		Also:     m.options.Changed,
		Clock:    m.options.Clock,
	}, m.takeOver)
}

// takeOver takes over what has changed, if it is good.
func (m *Manager) takeOver(ctx context.Context) {
	defer func() { m.resolved.drop() }()
	defer func() {
		if r := recover(); r != nil {
			m.fail(ctx, unknown, fmt.Errorf("panic while changes were looked for: %v", r))
		}
	}()
	began := m.options.Clock.Now()
	set, goal, err := m.try(ctx, func(g *goal) bool {
		return !m.isServed(g) && m.trouble.due(g.hash, began)
	})
	switch {
	case err == nil:
		m.succeed(ctx, set, goal, began)
	case ctx.Err() != nil: // it is the end of this process
	case !errors.Is(err, errNotNeeded):
		m.options.Recorder.ObserveReload(resultFailed, m.options.Clock.Since(began))
		m.fail(ctx, goal.hash, err)
	case m.isServed(goal):
		m.mend(ctx, goal)
	default:
		m.remind(ctx)
	}
}

// isServed is whether a goal is what is served.
func (m *Manager) isServed(g *goal) bool {
	return g.err == nil && g.hash == m.Status().Running
}

// turn is held by one caller at a time. Make it with room for one.
type turn chan struct{}

// take waits for the turn. The caller gives it back with what it returns.
func (t turn) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
