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

// Package memory gives WebAssembly instances linear memories that can be reset to a snapshot in
// microseconds.
//
// # Parts
//
// A [Range] is the linear memory of one instance. It reserves its address range once, for the
// maximum size, so growth never moves the memory. It plugs into wazero as an
// [experimental.MemoryAllocator].
//
// An [Image] is the immutable content of a linear memory after its module was initialized. Any
// number of ranges share one image: each maps it copy-on-write, so a page costs private memory only
// once it is written.
//
// A [Strategy] is a way to find and undo what an instance wrote. [Probe] tells which strategies the
// system supports.
//
// A [Budget] caps the total size of images and ranges. They lie outside the Go heap, where
// GOMEMLIMIT does not see them.
//
// # Life of a range
//
//	r, err := memory.NewRange(memory.Options{Limit: limit, Budget: budget})
//	err = r.Attach(image) // unless the module is to be initialized here and then captured
//	ctx = experimental.WithMemoryAllocator(ctx, r)
//	mod, err := runtime.InstantiateModule(ctx, compiled, config)
//	err = r.Bind(mod.Memory())
//	for each call {
//		…
//		err = r.Reset()
//	}
//	mod.Close(ctx)
//	err = r.Close() // only when nothing can call the module anymore
//
// # Linux and elsewhere
//
// On Linux, a range is a mapping and an image is a sealed memfd. Elsewhere, both are Go slices, a
// reset copies the whole image, and growth may move the memory, which only shared memories forbid.
package memory
