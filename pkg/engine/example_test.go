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

package engine_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The engine runs modules of any calling convention and knows nothing about Kubernetes. An ABI
// lists the functions that guests may import. Each evaluation gets a pristine instance.
func Example() {
	abi := &engine.ABI{
		Name: "example",
		HostFunctions: []engine.HostFunction{{
			Module: "host", Name: "add",
			Params:  []engine.ValueType{engine.I32, engine.I32},
			Results: []engine.ValueType{engine.I32},
			Call:    func(_ *engine.Instance, stack []uint64) { stack[0] += stack[1] },
		}, {
			Module: "host", Name: "refuse",
			Call: func(i *engine.Instance, _ []uint64) { i.Abort(fmt.Errorf("not now")) },
		}},
	}
	// A server uses the default, which is to compile in child processes. Its main function begins
	// with engine.ServeCompilations.
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Limits:      engine.Limits{MemoryBytes: 8 << 20},
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = e.Close() }()
	wasm, err := os.ReadFile("testdata/guest.wasm")
	if err != nil {
		panic(err)
	}
	module, err := e.Load(context.Background(), wasm, abi)
	if err != nil {
		panic(err)
	}
	defer module.Close()

	instance, err := module.Acquire(context.Background(),
		engine.Evaluation{Timeout: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	defer instance.Release()
	sum, err := instance.Call("sum", 40, 2)
	fmt.Println(sum, err)
	_, err = instance.Call("trap")
	fmt.Println(engine.CauseOf(err))
	// Output:
	// 42 <nil>
	// unreachable
}
