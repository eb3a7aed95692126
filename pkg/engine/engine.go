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
	"log/slog"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// coreFeatures are the WebAssembly features that a module may use: what
// published policies are compiled with. Go since 1.26 needs typed function
// references, binaryen's optimiser adds tail calls and extended constants.
const coreFeatures = api.CoreFeaturesV2 |
	experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesTypedFunctionReferences

// Options configures an [Engine]. The zero value is usable: default limits, code
// compiled in memory, no logs.
type Options struct {
	// Limits bounds modules and evaluations.
	Limits Limits
	// CacheDirectory is where compiled code is kept across restarts, an
	// absolute path. It is made with mode 0700 if it does not exist. A
	// directory that belongs to somebody else, that others may write, or that
	// cannot be used otherwise is not used: code is then compiled in memory,
	// and the log says why. Empty means in memory.
	CacheDirectory string
	// Logger gets what the engine does; nil discards it.
	Logger *slog.Logger
}

// Engine compiles modules and makes instances of them. Make one with [New] and
// end it with [Engine.Close].
type Engine struct {
	limits Limits
	logger *slog.Logger
	cache  wazero.CompilationCache

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

// New returns an engine. It fails only when the limits make no sense.
func New(o Options) (*Engine, error) {
	limits := o.Limits.withDefaults()
	if err := limits.validate(); err != nil {
		return nil, err
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		limits:  limits,
		logger:  logger,
		cache:   openCache(o.CacheDirectory, logger),
		modules: map[moduleKey]*Module{},
	}, nil
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
		m = &Module{engine: e, key: key, digest: digest, abi: abi, limits: e.limits, compiled: make(chan struct{})}
		e.modules[key] = m
	}
	m.references++
	e.mu.Unlock()

	if !found {
		m.err = m.compile(ctx, wasm)
		close(m.compiled)
	}
	select {
	case <-m.compiled:
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

// release gives back one reference to a module and frees it with the last one.
func (e *Engine) release(m *Module) {
	e.mu.Lock()
	m.references--
	last := m.references == 0
	if last && e.modules[m.key] == m {
		delete(e.modules, m.key)
	}
	e.mu.Unlock()
	if last {
		<-m.compiled
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
	return e.cache.Close(context.Background())
}
