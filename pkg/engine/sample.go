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

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// maxFrames bounds the functions of a sample: those that were called last count.
const maxFrames = 128

// Sampler is told which functions of guests burn fuel. It is for those who write guests: each
// sample takes some microseconds, so a server must not have one.
type Sampler struct {
	// Every is how much fuel guests burn between two samples, 500,000 units at most. Default:
	// 500,000.
	Every int64
	// Sample gets what was burnt since the sample before, and the functions that run, of which
	// the first was called last: at most 128, by the names that the module has for debugging, or
	// as "function 12". Samples are also taken while a module is loaded, which runs its start
	// functions. The stack is the caller's, and is used again. Concurrent evaluations call it
	// concurrently. Required.
	Sample func(fuel int64, stack []string)
}

// portion is what guests are granted at a time.
func (e *Engine) portion() int64 {
	if e.sampler == nil || e.sampler.Every <= 0 {
		return quantum
	}
	return min(e.sampler.Every, quantum)
}

// sampled has the host module of the tick tell the sampler, if there is one.
func (l *linker) sampled(ctx context.Context, module string) (context.Context, error) {
	s := l.module.engine.sampler
	if s == nil || module != tickModule {
		return ctx, nil
	}
	names, err := functionNames(l.module.rewritten.Module)
	if err != nil {
		return nil, err
	}
	return experimental.WithFunctionListenerFactory(ctx, &ticks{sampler: s, names: names}), nil
}

// functionNames returns what a module calls its functions, by index.
func functionNames(module []byte) ([]string, error) {
	decoded, err := wasm.Decode(module)
	if err != nil {
		return nil, err
	}
	imported := decoded.ImportedCount(wasm.ExternFunction)
	names, wanted := make([]string, len(decoded.FunctionTypes())), map[uint32]bool{}
	for n := range names {
		names[n], wanted[uint32(n)] = fmt.Sprintf("function %d", n), true
		// the tick, which the guest knows nothing of, is the last of the imported ones
		if n >= imported {
			names[n] = fmt.Sprintf("function %d", n-1)
		}
	}
	for _, section := range decoded.Custom {
		if section.Name != wasm.NameSection {
			continue
		}
		for index, name := range wasm.FunctionNames(section.Payload, wanted) {
			names[index] = name
		}
	}
	return names, nil
}

// ticks listens to the calls of the tick by one module's guests.
type ticks struct {
	sampler *Sampler
	names   []string
}

// NewFunctionListener implements [experimental.FunctionListenerFactory].
func (t *ticks) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener {
	return t
}

// Before implements [experimental.FunctionListener].
func (t *ticks) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64,
	frames experimental.StackIterator) {
	m := &instanceFrom(ctx).meter
	stack := make([]string, 0, maxFrames)
	for len(stack) < maxFrames && frames.Next() {
		f := frames.Function().Definition()
		if index := int(f.Index()); f.GoFunction() == nil && index < len(t.names) {
			stack = append(stack, t.names[index])
		}
	}
	t.sampler.Sample(m.granted-int64(m.fuel.Get()), stack)
}

// After implements [experimental.FunctionListener].
func (t *ticks) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

// Abort implements [experimental.FunctionListener].
func (t *ticks) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}
