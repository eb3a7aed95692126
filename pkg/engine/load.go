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
	"fmt"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/pool"
)

// load fills in the module. Every module has its own runtime, so that guests share nothing but the
// host functions' code.
func (m *Module) load(ctx context.Context, binary []byte) (err error) {
	leave, err := m.engine.loading.Enter(ctx, len(binary) >= largeModule)
	if err != nil {
		return m.fail(PhaseLoad, CauseCanceled, err)
	}
	defer leave()
	start := time.Now()
	late := m.engine.errLate()
	timer := time.AfterFunc(m.limits.LoadTimeout, func() {
		m.cancel(late)
		close(m.late)
	})
	defer timer.Stop()
	m.engine.logger.Info("Loading module", "digest", m.digest, "bytes", len(binary))
	defer func() {
		// The compiler processes untrusted bytes.
		if r := recover(); r != nil {
			err = m.fail(PhaseLoad, CauseInvalid, fmt.Errorf("compiler panicked: %v", r))
		}
	}()
	if err := m.rewrite(binary); err != nil {
		return m.fail(PhaseLoad, CauseInvalid, err)
	}
	if ctx.Err() != nil {
		return m.fail(PhaseLoad, CauseCanceled, context.Cause(ctx))
	}
	rewriting := time.Since(start)
	if err := m.reserveCode(); err != nil {
		return m.fail(PhaseLoad, CauseLimit, err)
	}
	if err := m.compile(ctx); err != nil {
		return m.fail(PhaseLoad, CauseInvalid, err)
	}
	if err := m.link(ctx); err != nil {
		return m.fail(PhaseLoad, CauseInvalid, err)
	}
	compiling := time.Since(start) - rewriting
	m.engine.recorder.ObserveLoad(rewriting, compiling)
	if err := m.prepare(ctx); err != nil {
		return err
	}
	// The rewrite's output is no longer needed. The runtime keeps what it needs itself.
	m.rewritten.Module, m.rewritten.Image, m.rewritten.Weigh = nil, nil, nil
	if m.snapshot != nil {
		m.freeDataImage() // no instance starts from it anymore
	}
	m.engine.logger.Info("Loaded module", "digest", m.digest, "bytes", len(binary),
		"rewriting", rewriting, "compiling", compiling,
		"preparing", time.Since(start)-rewriting-compiling,
		"freshInstances", m.rewritten.NeedsFreshInstance)
	return nil
}

// rewrite meters the module and extracts its initial memory.
func (m *Module) rewrite(binary []byte) (err error) {
	if m.rewritten, err = m.plan().rewrite(binary); err != nil {
		return err
	}
	m.heapBytes = heapBytes(m.rewritten)
	if len(m.rewritten.Image) == 0 {
		return nil
	}
	var segments []memory.Segment
	for _, s := range m.rewritten.Image {
		segments = append(segments, memory.Segment{Offset: uint64(s.Offset), Data: s.Bytes})
	}
	m.dataImage, err = memory.NewImage(uint64(m.rewritten.Memory.MinPages)*PageSize, m.budget,
		segments...)
	return err
}

// memoryLimit returns the maximum size of an instance's linear memory in bytes.
func (m *Module) memoryLimit() int64 {
	if described := m.rewritten.Memory; described.HasMax {
		return min(m.limits.MemoryBytes, int64(described.OriginalMax)*PageSize)
	}
	return m.limits.MemoryBytes
}

// nativeBytesPerByte is the maximum number of bytes of machine code that the compiler makes of a
// byte of code. Guests in C, AssemblyScript, Go, and Rust measure 4.3 to 6.3. The runtime does not
// report it.
const nativeBytesPerByte = 7

// reserveCode reserves the module's machine code from the budget.
func (m *Module) reserveCode() error {
	size := uint64(len(m.rewritten.Module)) * nativeBytesPerByte
	if m.engine.interpreter {
		size = uint64(len(m.rewritten.Module))
	}
	if err := m.budget.Reserve(size); err != nil {
		return err
	}
	m.codeBytes = size
	return nil
}

// prepare takes the snapshot and makes the pool, with a first instance in it.
func (m *Module) prepare(ctx context.Context) (err error) {
	if len(m.rewritten.NeedsFreshInstance) == 0 {
		if m.snapshot, err = m.takeSnapshot(ctx); err != nil {
			return err
		}
	}
	bringUp := m.fromSnapshot
	if m.snapshot == nil {
		bringUp = func(ctx context.Context) (*Instance, error) {
			i, err := m.start(ctx, time.Now().Add(m.limits.Timeout))
			if err == nil {
				i.ambient.goLive(i.ambient.elapsed)
			}
			return i, err
		}
	}
	m.pool, err = pool.New(pool.Options[*Instance]{
		Max:        m.limits.Instances,
		MaxWaiters: m.limits.Waiters,
		Make:       bringUp,
		Destroy:    (*Instance).destroy,
		Now:        m.engine.now,
	})
	if err != nil {
		return m.fail(PhaseLoad, CauseInvalid, err)
	}
	first, err := m.pool.Get(ctx)
	if err != nil {
		return err
	}
	m.pool.Put(first)
	return nil
}
