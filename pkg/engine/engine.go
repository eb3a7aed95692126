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

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/pkg/engine/codecache"
	"github.com/wasm-admission/wasm-admission/pkg/engine/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/pool"
)

// coreFeatures are the WebAssembly features that a module may use beyond those
// of the core specification 2.0: what optimisers add to published policies. Typed
// function references are not among them: wazero 1.12 takes constants of any
// function type for references to its first function, which its own compiled
// code then trusts.
const coreFeatures = api.CoreFeaturesV2 |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst

// Version names this engine in the keys of compiled code: code that another
// version made is not used.
const Version = "wasm-admission/2 wazero/1.12.0"

// Options configures an [Engine]. The zero value is usable: default limits, code
// compiled in memory, no logs.
type Options struct {
	// Limits bounds modules and evaluations.
	Limits Limits
	// CacheDirectory is where compiled code is kept across restarts, an
	// absolute path. It is made with mode 0700 if it does not exist. A
	// directory that belongs to somebody else, that others may use, or that
	// cannot be used otherwise is not used: code is then compiled in memory,
	// and the log says why. Empty means in memory.
	CacheDirectory string
	// Interpreter makes the engine interpret code instead of compiling it to
	// machine code, which is many times slower. Where the system has no
	// compiler, or does not allow code that a process made itself, this is what
	// happens anyway, and the log says so.
	Interpreter bool
	// RequireCompiler makes [New] fail where code would have to be interpreted.
	RequireCompiler bool
	// Reset is how linear memories are brought back to their snapshot. The
	// default is the fastest way that the system allows; the log says which.
	Reset memory.Strategy
	// Logger gets what the engine does; nil discards it.
	Logger *slog.Logger
	// Recorder gets what the engine does in numbers; nil discards them.
	Recorder Recorder

	// architecture is the one for whose faults there is a way around, this one if it is
	// empty. Tests set it.
	architecture string
}

// Engine compiles modules and makes instances of them. Make one with [New] and
// end it with [Engine.Close].
type Engine struct {
	limits      Limits
	logger      *slog.Logger
	recorder    Recorder
	interpreter bool
	faults      faults
	strategy    memory.Strategy
	budget      *memory.Budget
	cache       *codecache.Cache // nil: compile in memory
	lastReclaim atomic.Int64     // when reclaim was logged, in Unix seconds

	// compiling is held while modules are compiled: shared by small ones, of which as
	// many are compiled at a time as there are callers and processors, and by a large
	// one alone. The compiler takes ten times the size of a module.
	compiling sync.RWMutex
	cores     chan struct{}

	mu      sync.Mutex
	modules map[moduleKey]*Module
	closed  bool
}

// moduleKey identifies a compiled module. Two policies that come with the same
// binary and speak the same ABI share it.
type moduleKey struct {
	digest [sha256.Size]byte
	abi    *ABI
}

// New returns an engine. It fails only when the limits make no sense or the
// system does not allow the way to reset that is asked for.
func New(o Options) (*Engine, error) {
	e := &Engine{
		limits:      o.Limits.withDefaults(),
		logger:      o.Logger,
		recorder:    o.Recorder,
		interpreter: o.Interpreter,
		faults:      faultsOf(o.architecture),
		modules:     map[moduleKey]*Module{},
		cores:       make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if e.recorder == nil {
		e.recorder = discard{}
	}
	if err := e.limits.validate(); err != nil {
		return nil, err
	}
	e.budget = memory.NewBudget(uint64(e.limits.PoolBytes), e.reclaim)
	var err error
	if e.strategy, err = chooseStrategy(o.Reset); err != nil {
		return nil, err
	}
	if err := e.chooseCompiler(o); err != nil {
		return nil, err
	}
	e.cache = openCache(o.CacheDirectory, e.logger)
	e.logger.Info("Engine is ready", "reset", e.strategy, "interpreter", e.interpreter, "codeKept", e.cache != nil)
	return e, nil
}

// chooseCompiler falls back to the interpreter where code cannot be compiled.
func (e *Engine) chooseCompiler(o Options) error {
	if e.interpreter {
		return nil
	}
	err := probeCompiler()
	switch {
	case err == nil:
		return nil
	case o.RequireCompiler:
		return fmt.Errorf("WebAssembly cannot be compiled on this system: %w", err)
	}
	e.interpreter = true
	e.logger.Warn("WebAssembly cannot be compiled on this system: it is interpreted, which is many times slower", "err", err)
	return nil
}

// chooseStrategy returns the way to reset that is wanted, or the best one.
func chooseStrategy(wanted memory.Strategy) (memory.Strategy, error) {
	for _, support := range memory.Probe() {
		switch {
		case wanted == memory.Auto && support.Err == nil, wanted == support.Strategy && support.Err == nil:
			return support.Strategy, nil
		case wanted == support.Strategy:
			return "", fmt.Errorf("resetting memory by %s: %w", wanted, support.Err)
		}
	}
	return "", fmt.Errorf("there is no way to reset memory that is called %q", wanted)
}

// openCache opens the directory for compiled code. A policy must be enforced
// whether or not a disk is full.
func openCache(directory string, logger *slog.Logger) *codecache.Cache {
	if directory == "" {
		return nil
	}
	cache, err := codecache.Open(directory, codecache.Options{Logger: logger})
	if err != nil {
		logger.Warn("Compiling in memory: the directory for compiled code cannot be used", "directory", directory, "err", err)
		return nil
	}
	return cache
}

// largeModule is the size in bytes from which a module is compiled alone.
const largeModule = 8 << 20

// enterCompiler waits until a module of a size may be compiled, and returns what to
// call afterwards.
func (e *Engine) enterCompiler(size int) (leave func()) {
	if size >= largeModule {
		e.compiling.Lock()
		return e.compiling.Unlock
	}
	e.compiling.RLock()
	e.cores <- struct{}{}
	return func() {
		<-e.cores
		e.compiling.RUnlock()
	}
}

func (e *Engine) runtimeConfig() wazero.RuntimeConfig {
	if e.interpreter {
		return wazero.NewRuntimeConfigInterpreter()
	}
	return wazero.NewRuntimeConfigCompiler()
}

// Digest returns the SHA-256 of a module's binary as errors, logs and
// configurations show it: "sha256:" and 64 hexadecimal digits.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Load compiles a module for guests of an ABI, or returns the one that was
// compiled before. Each successful Load wants a [Module.Close]. It is safe for
// concurrent use; two loads of the same module compile it once.
func (e *Engine) Load(ctx context.Context, wasm []byte, abi *ABI) (*Module, error) {
	sum := sha256.Sum256(wasm)
	key := moduleKey{digest: sum, abi: abi}
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if size := int64(len(wasm)); size > e.limits.ModuleBytes {
		return nil, &Error{Digest: digest, Phase: PhaseLoad, Cause: CauseLimit,
			Err: &LimitError{Limit: "bytes of module", Value: size, Max: e.limits.ModuleBytes}}
	}

	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errors.New("engine is closed")
	}
	m, found := e.modules[key]
	if !found {
		m = &Module{engine: e, key: key, digest: digest, abi: abi, limits: e.limits, ready: make(chan struct{})}
		e.modules[key] = m
	}
	m.references++
	e.mu.Unlock()

	if !found {
		// Others may be waiting for it when this caller gives up.
		m.err = m.load(context.WithoutCancel(ctx), wasm)
		close(m.ready)
	}
	select {
	case <-m.ready:
	case <-ctx.Done():
		e.release(m)
		return nil, ctx.Err()
	}
	if m.err != nil {
		e.release(m)
		return nil, m.err
	}
	return m, nil
}

// Stats is a view of an [Engine] at one moment, over all modules.
type Stats struct {
	// Modules is how many are loaded.
	Modules int
	// InUse, Idle and Waiting are instances that evaluations have, instances that are
	// ready, and evaluations that wait for one.
	InUse, Idle, Waiting int
	// MemoryBytes is what linear memories, their images and code take, as
	// [Limits.PoolBytes] counts them.
	MemoryBytes uint64
	// Reset is how linear memories are brought back to their snapshot, and
	// Interpreter whether code is interpreted.
	Reset       memory.Strategy
	Interpreter bool
}

// Stats returns the engine's numbers. It is safe for concurrent use.
func (e *Engine) Stats() Stats {
	s := Stats{MemoryBytes: e.budget.Used(), Reset: e.strategy, Interpreter: e.interpreter}
	for _, p := range e.pools() {
		pooled := p.Stats()
		s.Modules++
		s.InUse += pooled.InUse
		s.Idle += pooled.Idle
		s.Waiting += pooled.Waiting
	}
	return s
}

// pools returns the pools of all modules that are loaded.
func (e *Engine) pools() (pools []*pool.Pool[*Instance]) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.modules {
		select {
		case <-m.ready:
			if m.err == nil {
				pools = append(pools, m.pool)
			}
		default:
		}
	}
	return pools
}

// reclaim gives up what no evaluation uses: those that need memory go before those
// that may come.
func (e *Engine) reclaim() {
	freed := 0
	for _, p := range e.pools() {
		freed += p.Trim(0)
	}
	// Guests can bring this about as often as they like.
	if now, last := time.Now().Unix(), e.lastReclaim.Load(); now-last >= reclaimLogSeconds && e.lastReclaim.CompareAndSwap(last, now) {
		e.logger.Warn("Memory for modules is used up: idle instances are given up", "instances", freed, "limit", e.limits.PoolBytes)
	}
}

// reclaimLogSeconds is the least time between two log lines of reclaim.
const reclaimLogSeconds = 10

// retain takes one more reference to a module that the caller has one of.
func (e *Engine) retain(m *Module) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.references++
}

// release gives back one reference to a module and frees it with the last one.
func (e *Engine) release(m *Module) {
	e.mu.Lock()
	m.references--
	last := m.references == 0 && e.modules[m.key] == m
	if last {
		delete(e.modules, m.key)
	}
	e.mu.Unlock()
	if last {
		<-m.ready
		m.free()
	}
}

// Close frees the compiled code of all modules. No evaluation may be running
// and no module may be used afterwards.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	for _, m := range e.modules {
		m.free()
	}
	e.modules = nil
	if e.cache == nil {
		return nil
	}
	return e.cache.Close()
}
