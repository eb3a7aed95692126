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
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

// snapshot is the state from which evaluations start: the linear memory and the globals of an
// instance that has started and perhaps warmed up.
type snapshot struct {
	image   *memory.Image // nil if the module has no memory
	globals []uint64
	elapsed int64 // the guest's clock when the snapshot was taken
	// lazy is the number of bytes of memory that may be backed on first access.
	lazy uint64
	// retired is set when no more evaluations start from the snapshot.
	retired atomic.Bool
}

func (s *snapshot) close() error {
	if s == nil || s.image == nil {
		return nil
	}
	return s.image.Close()
}

// instantiate makes an instance whose start functions have not run. Its memory holds the image, if
// there is one. Between its steps, and while it backs memory, it checks whether ctx has ended.
// checkInstance bounds the steps of the runtime that nothing can interrupt.
func (m *Module) instantiate(ctx context.Context, image *memory.Image) (made *Instance, err error) {
	i := &Instance{
		module:    m,
		functions: map[string]api.Function{},
		callbacks: map[string]api.Function{},
		ambient:   newAmbient(m.key.digest),
	}
	i.ctx = instanceContext{Context: context.Background(), instance: i}
	if i.calls = &i.ctx; m.rewritten.ParkExport != "" {
		i.calls = experimental.WithSnapshotter(i.calls)
		if m.engine.faults.goroutines {
			i.lane = newLane(i)
		}
	}
	defer func() {
		// The allocator can report a lack of memory only by a panic.
		if r := recover(); r != nil {
			err = fmt.Errorf("runtime panicked: %v", r)
		}
		if err != nil {
			i.destroy()
			made, err = nil, m.fail(PhaseStart, hostCause(err), err)
		}
	}()
	if err = ctx.Err(); err == nil {
		err = m.budget.Reserve(m.heapBytes)
	}
	if err != nil {
		return nil, err
	}
	i.noteHeap(m.heapBytes)
	if m.rewritten.Memory.Present {
		if err = i.reserveMappings(); err != nil {
			return nil, err
		}
		i.memory, err = memory.NewRange(memory.Options{
			Limit:       uint64(m.memoryLimit()),
			Size:        uint64(m.rewritten.Memory.MinPages) * PageSize,
			Lazy:        lazyBytes,
			Strategy:    m.engine.strategy,
			Budget:      m.budget,
			Interrupted: i.outOfTime,
		})
		if err != nil {
			return nil, err
		}
		ctx = experimental.WithMemoryAllocator(ctx, i.memory)
	}
	if err = ctx.Err(); err != nil {
		return nil, err
	}
	guest, err := m.runtime.InstantiateModule(ctx, m.code, m.configure(i))
	if err != nil {
		// guest may be a non-nil interface that holds nil.
		return nil, err
	}
	i.guest = guest
	if err = i.fillMemory(ctx, image); err != nil {
		return nil, err
	}
	i.meter.portion = m.engine.portion()
	i.meter.fuel = i.guest.ExportedGlobal(m.rewritten.FuelExport).(api.MutableGlobal)
	i.meter.stack = i.guest.ExportedGlobal(m.rewritten.StackExport).(api.MutableGlobal)
	for _, g := range m.rewritten.Globals {
		i.globals = append(i.globals, i.guest.ExportedGlobal(g.Export).(api.MutableGlobal))
	}
	return i, nil
}

// fillMemory copies the image into a new instance's memory, if there is an image.
func (i *Instance) fillMemory(ctx context.Context, image *memory.Image) error {
	if i.memory == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.memory.Bind(i.guest.Memory()); err != nil {
		return err
	}
	if image != nil {
		if err := i.memory.Attach(image); err != nil {
			return err
		}
	}
	return i.memory.Populate(ctx.Err)
}

func (m *Module) configure(i *Instance) wazero.ModuleConfig {
	return i.ambient.configure(moduleConfig().WithName("").WithStartFunctions(), i.MustGoOn)
}

// start makes an instance and runs its start functions. They get the fuel of an evaluation, and
// their own time until the deadline.
func (m *Module) start(ctx context.Context, deadline time.Time) (*Instance, error) {
	i, err := m.instantiate(ctx, m.dataImage)
	if err != nil {
		return nil, err
	}
	i.begin(ctx, m.startState(), deadline)
	defer i.end()
	for _, name := range append([]string{m.rewritten.StartExport}, m.abi.StartFunctions...) {
		f := i.guest.ExportedFunction(name)
		if name == "" || f == nil {
			continue
		}
		if err := i.run(f); err != nil && !isExitZero(err) {
			if name == m.rewritten.StartExport {
				name = ""
			}
			err := i.failure(PhaseStart, name, err)
			i.destroy()
			return nil, err
		}
		// proc_exit unwinds the calls, so none of them gave its stack back.
		i.meter.stack.Set(uint64(i.meter.depth))
	}
	return i, nil
}

func (m *Module) startState() any {
	if m.abi.StartState == nil {
		return nil
	}
	return m.abi.StartState()
}

// capture takes a snapshot of an instance.
func (i *Instance) capture() (*snapshot, error) {
	s := &snapshot{
		globals: make([]uint64, len(i.globals)),
		elapsed: i.ambient.elapsed,
		lazy:    lazyBytes,
	}
	for n, g := range i.globals {
		s.globals[n] = g.Get()
	}
	if i.memory == nil {
		return s, nil
	}
	var err error
	s.image, err = i.memory.Capture()
	return s, err
}

// takeSnapshot finds the best point from which evaluations start, with the first way to warm up
// that works.
func (m *Module) takeSnapshot(ctx context.Context) (best *snapshot, err error) {
	ways := m.abi.WarmUps
	if len(ways) == 0 {
		ways = []func(*Instance) error{nil}
	}
	for _, way := range ways {
		found, warm, failed := m.warmSnapshot(ctx, way)
		if failed != nil && best == nil {
			return found, failed
		}
		if failed != nil { // what was found before does as well
			return best, errors.Join(err, found.close())
		}
		err = errors.Join(err, best.close())
		if best = found; warm {
			break
		}
	}
	return best, err
}

// warmSnapshot finds the best point of one start: after the start functions, or after one of a few
// rounds of warming up. At the best point, the next round burns the least fuel. A round that asks
// for the date or randomness leaves state that must not be shared (see [ambient]), and a round that
// fails may leave anything. warmSnapshot takes no snapshot after either. It reports whether any
// round left a state that may be shared.
func (m *Module) warmSnapshot(ctx context.Context,
	warmUp func(*Instance) error) (best *snapshot, warm bool, err error) {
	const rounds = 4
	deadline := time.Now().Add(m.limits.Timeout)
	i, err := m.start(ctx, deadline)
	if err != nil {
		return nil, false, err
	}
	defer i.destroy()
	if best, err = i.capture(); err != nil {
		return nil, false, m.fail(PhaseStart, hostCause(err), err)
	}
	if m.abi.Command != nil {
		return m.takeParkedSnapshot(ctx, i, best), false, nil
	}
	if warmUp == nil {
		return best, false, nil
	}
	lowest := int64(-1)
	current := best
	for range rounds {
		fuel, clean := m.warmUp(ctx, i, warmUp)
		if fuel >= 0 && (lowest < 0 || fuel < lowest) {
			lowest = fuel
			if current != best {
				err = errors.Join(err, best.close())
				best = current
			}
		}
		if current != best {
			err = errors.Join(err, current.close())
		}
		if !clean {
			break
		}
		warm = true
		if current, err = i.capture(); err != nil {
			// The budget has no room for another image, so keep the best one so far.
			current, err = best, nil
			break
		}
	}
	if current != best {
		err = errors.Join(err, current.close())
	}
	return best, warm, err
}

// warmUp runs one round. It returns the fuel that the round burned, or -1 if the round failed, and
// whether evaluations may share the resulting state.
func (m *Module) warmUp(ctx context.Context, i *Instance,
	warmUp func(*Instance) error) (fuel int64, clean bool) {
	i.begin(ctx, m.startState(), time.Now().Add(m.limits.Timeout))
	defer i.end()
	if err := warmUp(i); err != nil || i.failed {
		return -1, false
	}
	return i.meter.used(), !i.external && !i.ambient.asked
}

// fromSnapshot makes an instance in the state of the module's snapshot.
func (m *Module) fromSnapshot(ctx context.Context) (*Instance, error) {
	if m.parks() {
		return m.fromStart(ctx)
	}
	i, err := m.instantiate(ctx, m.snapshot.image)
	if err != nil {
		return nil, err
	}
	i.home = m.snapshot
	i.ambient.goLive(m.snapshot.elapsed)
	i.restoreGlobals()
	return i, nil
}

// An instance keeps the pages that it wrote for its next evaluation. It gives them back every
// trimInterval resets, so that one large evaluation does not make the instance large forever. It
// gives them back at once if they exceed trimBytes beyond the part that stays backed, or if the
// instance is a spare one. With resets by copying, there is nothing to give back.
//
// Of the memory with which an evaluation starts, lazyBytes may be backed on first access by the
// guest. Each page takes a few microseconds during which nothing can stop the guest.
const (
	trimInterval = 256
	trimBytes    = 8 << 20
	lazyBytes    = 8 << 20
)

// reset restores the instance to the snapshot from which it started. A spare instance is unlikely
// to be used soon.
func (i *Instance) reset(spare bool) error {
	i.restoreGlobals()
	if i.memory == nil {
		return nil
	}
	if i.resets++; i.resets%trimInterval == 0 {
		i.dropHandles()
		return i.memory.Trim()
	}
	if spare {
		return i.memory.Trim()
	}
	err := i.memory.Reset()
	usage, lazy := i.memory.Usage(), i.home.lazy
	if err == nil && i.memory.Strategy() != memory.Copy && usage.Private > trimBytes+
		max(usage.Size, lazy)-lazy {
		err = i.memory.Trim()
	}
	return err
}

func (i *Instance) restoreGlobals() {
	for n, g := range i.globals {
		g.Set(i.home.globals[n])
	}
}

// destroy frees the instance. Nothing may call into it afterwards.
func (i *Instance) destroy() {
	i.lane.close()
	var errs []error
	if i.guest != nil {
		errs = append(errs, i.guest.Close(context.Background()))
	}
	if i.memory != nil {
		errs = append(errs, i.memory.Close())
	}
	i.releaseMappings()
	i.module.budget.Release(i.heapCharged)
	i.noteHeap(0)
	if err := errors.Join(errs...); err != nil {
		i.module.engine.logger.Warn("Freeing an instance failed", "digest", i.module.digest,
			"err", err)
	}
}
