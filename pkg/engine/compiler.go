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
	"sync"

	"github.com/tetratelabs/wazero"
)

// answering is a module that exports one function, "f", which returns 42.
var answering = []byte{
	0, 'a', 's', 'm', 1, 0, 0, 0,
	1, 5, 1, 0x60, 0, 1, 0x7f, // type: () -> i32
	3, 2, 1, 0, // one function of that type
	7, 5, 1, 1, 'f', 0, 0, // export
	10, 6, 1, 4, 0, 0x41, 42, 0x0b, // code: i32.const 42
}

// probeCompiler compiles and runs a real module, once per process. Some systems have no compiler,
// and others (SELinux, seccomp) do not let a process map code that it generated.
var probeCompiler = sync.OnceValue(func() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compiler panicked: %v", r)
		}
	}()
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer func() { err = errors.Join(err, runtime.Close(ctx)) }()
	guest, err := runtime.Instantiate(ctx, answering)
	if err != nil {
		return err
	}
	results, err := guest.ExportedFunction("f").Call(ctx)
	if err != nil {
		return err
	}
	if len(results) != 1 || results[0] != 42 {
		return fmt.Errorf("compiled code answers %v instead of 42", results)
	}
	return nil
})
