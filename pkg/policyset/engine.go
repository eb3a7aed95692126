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

package policyset

import (
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// EngineOptions returns the options of the engine that a configuration asks for. It keeps
// compiled code below the state directory.
func EngineOptions(config *wasmadmission.WasmAdmissionConfiguration) engine.Options {
	options := engine.Options{
		Limits: engine.Limits{
			ModuleBytes:  config.Limits.ModuleSize,
			MemoryBytes:  config.Limits.Memory,
			TableEntries: uint32(config.Limits.TableEntries),
			Fuel:         config.Limits.Fuel,
			StackBytes:   config.Limits.Stack,
			Timeout:      config.Limits.EvaluationTimeout.Duration,
			Instances:    int(config.Limits.ModuleEvaluations),
			Waiters:      int(config.Limits.ModuleWaiters),
			PoolBytes:    config.Limits.TotalMemory,

			LoadTimeout:   config.Compilation.Timeout.Duration,
			CompilerBytes: config.Compilation.Memory,
			Compilers:     int(config.Compilation.Workers),
			Compilation: engine.CompilationLimits{
				Time:   config.Limits.CompilationTime.Duration,
				Memory: config.Limits.CompilationMemory,
			},
		},
		Compilation:     engine.Compilation(config.Compilation.Mode),
		RequireCompiler: config.RequireCompiler,
	}
	if config.StateDirectory != "" {
		options.CacheDirectory = filepath.Join(config.StateDirectory, "compiled")
	}
	return options
}
