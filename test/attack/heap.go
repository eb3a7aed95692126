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

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/border"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// heapInstances is how many instances of a module are made, if its evaluations overlap.
	heapInstances = 16
	// maxUncountedKiB is what an idle instance may take that the budget does not count.
	maxUncountedKiB = 64
)

// heap evaluates the policies that are committed, many requests at a time, and compares what
// their idle instances take of the Go heap with what the engine counts of it. That mapped memory is counted
// is for the tests of package memory.
func heap(ctx context.Context) error {
	policies, err := filepath.Glob("test/policies/*/*.wasm")
	if err != nil {
		return err
	}
	if len(policies) == 0 {
		return errors.New("no policies: run it at the root of the repository")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(heapInstances))
	worst := -1e9
	for _, path := range policies {
		uncounted, instances, err := uncountedKiB(ctx, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("%s: %.1f KiB not counted of each of %d idle instances\n", path, uncounted, instances)
		worst = max(worst, uncounted)
	}
	figure.Print("go_heap_uncounted_per_idle_instance_kib_max", worst, "KiB")
	if worst > maxUncountedKiB {
		return fmt.Errorf("%.1f KiB of an idle instance are not counted, %d may be", worst, maxUncountedKiB)
	}
	return nil
}

// uncountedKiB returns what each idle instance of a policy takes beyond what is counted, over
// so many instances more than one.
func uncountedKiB(ctx context.Context, path string) (kib float64, more int, err error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	e, err := engine.New(engine.Options{Limits: engine.Limits{Instances: heapInstances}, Compilation: engine.InProcess})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	guest, err := loadGuest(ctx, e, binary)
	if err != nil {
		return 0, 0, err
	}
	defer guest.Close()
	evaluate := func() {
		// Whether it is allowed, or fails, is all one.
		_, _, _ = guest.Validate(ctx, &border.StartEnvironment, []byte(border.WarmUpRequest), []byte("{}"))
	}
	evaluate()
	first := e.Stats()
	before := liveHeap()
	for round := 0; round < 100 && e.Stats().Idle < heapInstances; round++ {
		var all sync.WaitGroup
		for range heapInstances {
			all.Go(evaluate)
		}
		all.Wait()
	}
	now := liveHeap()
	last := e.Stats()
	if more = last.Idle - first.Idle; more < 1 {
		return 0, 0, errors.New("no two evaluations were at the same time")
	}
	counted := int64(last.HeapBytes) - int64(first.HeapBytes)
	return float64(now-before-counted) / float64(more) / 1024, more, nil
}

// loadGuest loads a policy by the convention that its annotations name, or else its exports.
func loadGuest(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error) {
	mode := abi.ExecutionModeWaPC
	if metadata, err := abi.ReadMetadata(binary); err == nil && metadata != nil {
		mode = metadata.ExecutionMode
	} else if bytes.Contains(binary, []byte("opa_eval_ctx_new")) {
		mode = abi.ExecutionModeGatekeeper
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

// liveHeap is what lives on the Go heap.
func liveHeap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
