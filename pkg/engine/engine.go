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
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
)

// coreFeatures are the WebAssembly features that a module may use beyond core specification 2.0.
// Optimizers add them to published policies. Typed function references are not enabled: wazero 1.12
// accepts constants of any function type as references to its first function, and its own compiled
// code then trusts them.
const coreFeatures = api.CoreFeaturesV2 |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst

// Version names this engine in the keys of compiled code. The engine does not use code that another
// version compiled.
const Version = "wasm-admission/2 wazero/1.12.0"

// Engine compiles modules and makes instances of them. Create one with [New] and end it with
// [Engine.Close].
type Engine struct {
	limits      Limits
	logger      *slog.Logger
	recorder    Recorder
	sampler     *Sampler // nil: nobody is told
	interpreter bool
	faults      faults
	strategy    memory.Strategy
	budget      *memory.Budget
	cache       *codecache.Cache // nil: code is not kept
	lastReclaim atomic.Int64     // when reclaim last logged, in Unix seconds
	heap        atomic.Int64     // bytes of the budget reserved for the Go heap of instances
	mappings    *memory.Budget   // counts memory mappings, not bytes
	now         func() time.Time // the clock that measures idle time
	stopIdle    chan struct{}    // ends giveBackIdle

	// loading admits as many modules at a time as there are processors, or a single large one. The
	// compiler needs ten times the size of a module.
	loading *worker.Gate
	// compilers is the pool of child processes that compile, or nil if this process compiles.
	compilers *worker.Pool
	// loads counts the modules that are loading.
	loads sync.WaitGroup

	mu      sync.Mutex
	modules map[moduleKey]*Module
	closed  bool
}

// moduleKey identifies a compiled module. Two policies with the same binary and the same ABI share
// it.
type moduleKey struct {
	digest [sha256.Size]byte
	abi    *ABI
}

// New returns an engine. It fails if the limits are invalid, if the system does not support the
// requested reset strategy, or if modules cannot be compiled where [Options.Compilation] says.
func New(o Options) (*Engine, error) {
	e := &Engine{
		limits:      o.Limits.withDefaults(),
		logger:      o.Logger,
		recorder:    o.Recorder,
		sampler:     o.Sampler,
		interpreter: o.Interpreter,
		faults:      faultsOf(o.architecture),
		modules:     map[moduleKey]*Module{},
		loading:     worker.NewGate(runtime.GOMAXPROCS(0)),
		now:         o.now,
		stopIdle:    make(chan struct{}),
	}
	if e.now == nil {
		e.now = time.Now
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
	e.budget = memory.NewBudget(uint64(e.limits.PoolBytes))
	e.mappings = memory.NewBudget(mappingLimit(o.maxMappings))
	var err error
	if e.strategy, err = memory.Resolve(o.Reset); err != nil {
		return nil, err
	}
	if err := e.chooseCompiler(o); err != nil {
		return nil, err
	}
	if err := e.chooseCompilation(o); err != nil {
		return nil, err
	}
	e.logger.Info("Engine is ready", "reset", e.strategy, "interpreter", e.interpreter,
		"codeKept", e.cache != nil, "childProcesses", e.compilers != nil,
		"mappings", e.mappings.Limit())
	go e.giveBackIdle()
	return e, nil
}

// chooseCompiler falls back to the interpreter if the system does not allow compiled code.
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
	e.logger.Warn(
		"WebAssembly cannot be compiled on this system: interpreting it, which is many times slower",
		"err", err)
	return nil
}

// Stats is a snapshot of an [Engine]'s numbers, summed over all modules.
type Stats struct {
	// Modules is the number of loaded modules.
	Modules int
	// InUse is the number of instances that serve evaluations, Idle the number of instances that
	// are ready, and Waiting the number of evaluations that wait for an instance.
	InUse, Idle, Waiting int
	// MemoryBytes is the size of linear memories, their images, code, and the instances' share of
	// the Go heap, as [Limits.PoolBytes] counts them.
	MemoryBytes uint64
	// HeapBytes is the part of MemoryBytes that instances take on the Go heap.
	HeapBytes uint64
	// Mappings is the number of memory mappings reserved for instances, and MaxMappings their
	// limit. A MaxMappings of 0 means that the system has no limit.
	Mappings, MaxMappings uint64
	// Reset is the strategy that resets linear memories to their snapshot. Interpreter reports
	// whether the engine interprets code.
	Reset       ResetStrategy
	Interpreter bool
	// Compilers is the number of child processes that are running.
	Compilers int
}

// Stats returns the engine's numbers. It is safe for concurrent use.
func (e *Engine) Stats() Stats {
	s := Stats{
		MemoryBytes: e.budget.Used(),
		HeapBytes:   uint64(e.heap.Load()),
		Mappings:    e.mappings.Used(),
		MaxMappings: e.mappings.Limit(),
		Reset:       e.strategy,
		Interpreter: e.interpreter,
	}
	if e.compilers != nil {
		s.Compilers = e.compilers.Running()
	}
	for _, p := range e.pools() {
		pooled := p.Stats()
		s.Modules++
		s.InUse += pooled.InUse
		s.Idle += pooled.Idle
		s.Waiting += pooled.Waiting
	}
	return s
}

// Close frees the compiled code of all modules and cancels loads that are still running. No
// evaluation may be running, and no module may be used afterwards.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	close(e.stopIdle)
	for _, m := range e.modules {
		m.cancel(errClosed)
	}
	e.mu.Unlock()
	e.loads.Wait()
	e.mu.Lock()
	for _, m := range e.modules {
		m.free()
	}
	e.modules = nil
	return e.closeCompilation()
}

var errClosed = errors.New("engine is closed")
