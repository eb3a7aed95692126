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

// Package enginetest gives suites outside the engine access to its internals: the specification's
// tests, attacks, and benchmarks. Nothing that serves requests imports it.
package enginetest

import (
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// Options controls a rewrite. [Options.TickModule], [Options.TickName], [Options.ExportPrefix],
// [Options.MemoryMaxPages], and [Options.TableMaxEntries] are required.
type Options = rewrite.Options

// Rewritten is a rewritten module that pays fuel, with what its host must know about it.
type Rewritten = rewrite.Result

// Rewrite rewrites a module in the binary format. It is safe for concurrent use.
func Rewrite(module []byte, options Options) (*Rewritten, error) {
	return rewrite.Module(module, options)
}

// ResetSupport says whether the system supports a way to reset linear memory.
type ResetSupport = memory.Support

// ResetSupports returns all ways to reset linear memory, best first. The caller must not change the
// result.
func ResetSupports() []ResetSupport { return memory.Probe() }
