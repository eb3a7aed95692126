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

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// heapInstances is the number of evaluations at a time, and so the highest number of instances
	// of a module.
	heapInstances = 16
	// maxUncountedKiB is the memory that an idle instance may use without the budget counting it.
	maxUncountedKiB = 64
	// heapTimeout and heapFuel stop guests that would take long. Many of these guests spin, or
	// flood the host with calls.
	heapTimeout = 500 * time.Millisecond
	heapFuel    = 500_000_000
)

// heapGuests are the guests whose idle instances are measured: all committed guests, and the Go
// policies if they are built.
var heapGuests = []string{
	"test/policies/*/*.wasm", "bin/policies/*.wasm", "test/wat/*.wasm", "test/wat/hostile/*.wasm",
	"test/wat/hostile-programs/*.wasm", "pkg/engine/testdata/*.wasm", "pkg/abi/*/testdata/*.wasm",
}

// plainABI is for guests without a calling convention. They are instantiated, but not called.
var plainABI = &engine.ABI{Name: "plain"}

// heap makes guests evaluate many requests at a time. Then it compares the Go heap and the linear
// memory that idle instances use with what the engine counts.
func heap(ctx context.Context) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(heapInstances))
	worst, measured, passed := -1e9, 0, 0
	for _, pattern := range heapGuests {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			u, err := measureGuest(ctx, path)
			if err != nil {
				fmt.Printf("%s: not measured: %v\n", path, err)
				passed++
				continue
			}
			fmt.Printf(
				"%s: %.1f KiB of heap and %.1f KiB of mappings not counted for each of %d idle instances\n",
				path, u.heapKiB, u.mappedKiB, u.instances)
			measured++
			// Overcounting one does not compensate for undercounting the other.
			worst = max(worst, max(u.heapKiB, 0)+max(u.mappedKiB, 0))
		}
	}
	if measured == 0 {
		return errors.New("no guests: run this from the root of the repository")
	}
	fmt.Printf("%d guests measured, %d not\n", measured, passed)
	figure.Print("go_heap_uncounted_per_idle_instance_kib_max", worst, "KiB")
	if worst > maxUncountedKiB {
		return fmt.Errorf("%.1f KiB of an idle instance are not counted, at most %d are allowed", worst,
			maxUncountedKiB)
	}
	return nil
}

// uncounted is the memory that each idle instance uses beyond what the engine counts.
type uncounted struct {
	heapKiB, mappedKiB float64
	instances          int
}

// measureGuest compares many idle instances of a guest with one, to get the cost of each additional
// instance.
func measureGuest(ctx context.Context, path string) (u uncounted, err error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return u, err
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess,
		Limits: engine.Limits{Instances: heapInstances, Timeout: heapTimeout, Fuel: heapFuel}})
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	use, unload, err := user(ctx, e, binary)
	if err != nil {
		return u, err
	}
	defer unload()
	use(1)
	first, err := take(e)
	if err != nil {
		return u, err
	}
	for round := 0; round < 20 && e.Stats().Idle < heapInstances; round++ {
		use(heapInstances)
	}
	last, err := take(e)
	if err != nil {
		return u, err
	}
	n := last.stats.Idle - first.stats.Idle
	if n < 1 {
		return u, errors.New("evaluations did not overlap, or no idle instance was kept")
	}
	perInstance := func(taken int64, counted uint64) float64 {
		return float64(taken-int64(counted)) / float64(n) / 1024
	}
	return uncounted{
		heapKiB: perInstance(last.heap-first.heap, last.stats.HeapBytes-first.stats.HeapBytes),
		mappedKiB: perInstance(last.mapped-first.mapped,
			(last.stats.MemoryBytes-last.stats.HeapBytes)-(first.stats.MemoryBytes-first.stats.HeapBytes)),
		instances: n,
	}, nil
}

// taken is the live memory, and what the engine counts of it.
type taken struct {
	stats        engine.Stats
	heap, mapped int64
}

func take(e *engine.Engine) (t taken, err error) {
	t.heap, t.stats = liveHeap(), e.Stats()
	t.mapped, err = mappedBytes()
	return t, err
}

// user loads a guest, and returns a function that tries to use the given number of its instances at
// a time.
func user(ctx context.Context, e *engine.Engine,
	binary []byte) (use func(instances int), unload func(), err error) {
	guest, err := loadGuest(ctx, e, binary)
	if err != nil {
		m, plainErr := e.Load(ctx, binary, plainABI)
		if plainErr != nil {
			return nil, nil, err
		}
		return func(instances int) {
			for range instances {
				if i, err := m.Acquire(ctx, engine.Evaluation{}); err == nil {
					defer i.Release()
				}
			}
		}, m.Close, nil
	}
	request, err := evaluation.Request()
	if err != nil {
		return nil, nil, err
	}
	return func(instances int) {
		var all sync.WaitGroup
		for range instances {
			all.Go(func() {
				// Neither the verdict nor an error matters.
				_, _, _ = guest.Validate(ctx, evaluation.Environment, request, []byte("{}"))
			})
		}
		all.Wait()
	}, guest.Close, nil
}

// loadGuest loads a policy. The execution mode comes from its annotations, or else from its
// exports.
func loadGuest(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error) {
	mode := abi.ExecutionModeWaPC
	if metadata, err := abi.ReadMetadata(binary); err == nil && metadata != nil {
		mode = metadata.ExecutionMode
	} else if bytes.Contains(binary, []byte("opa_eval_ctx_new")) {
		mode = abi.ExecutionModeGatekeeper
	} else if !bytes.Contains(binary, []byte("__guest_call")) &&
		bytes.Contains(binary, []byte("_start")) {
		mode = abi.ExecutionModeWASI
	}
	switch mode {
	case abi.ExecutionModeOPA, abi.ExecutionModeGatekeeper:
		return rego.Load(ctx, e, binary, mode, topdown.Builtins{})
	case abi.ExecutionModeWASI:
		return wasi.Load(ctx, e, binary)
	default:
		return wapc.Load(ctx, e, binary)
	}
}

// liveHeap returns the size of live objects on the Go heap.
func liveHeap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
