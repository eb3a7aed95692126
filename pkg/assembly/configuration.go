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

package assembly

import (
	"context"
	"errors"
	"path/filepath"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Decode decodes a configuration in YAML or JSON. nil means the configuration of a server that got
// none. The error has one line for each problem. If some fields cannot be decoded, Decode also
// validates the others, so that it reports all problems at once.
func Decode(data []byte) (*wasmadmission.WasmAdmissionConfiguration, error) {
	if data == nil {
		data = load.Empty()
	}
	config, err := load.LoadFromData(data)
	if err != nil && config != nil {
		problems := policyset.JoinProblems(validation.ValidateConfiguration(config), nil)
		return nil, errors.Join(err, problems)
	}
	return config, err
}

// engineOptions returns the engine options for a configuration. Compiled code is kept below the
// state directory.
func engineOptions(config *wasmadmission.WasmAdmissionConfiguration) engine.Options {
	options := engine.Options{
		Limits:          EngineLimits(&config.Limits),
		Compilation:     engine.Compilation(config.Compilation.Mode),
		RequireCompiler: config.RequireCompiler,
	}
	options.Limits.LoadTimeout = config.Compilation.Timeout.Duration
	options.Limits.CompilerBytes = config.Compilation.Memory
	options.Limits.Compilers = int(config.Compilation.Workers)
	if config.StateDirectory != "" {
		options.CacheDirectory = filepath.Join(config.StateDirectory, "compiled")
	}
	return options
}

// EngineLimits returns the engine limits for a configuration with these limits. They do not include
// the limits on the compiler.
func EngineLimits(limits *wasmadmission.Limits) engine.Limits {
	return engine.Limits{
		ModuleBytes:  limits.ModuleSize,
		MemoryBytes:  limits.Memory,
		TableEntries: uint32(limits.TableEntries),
		Fuel:         limits.Fuel,
		StackBytes:   limits.Stack,
		Timeout:      limits.EvaluationTimeout.Duration,
		Instances:    int(limits.ModuleEvaluations),
		Waiters:      int(limits.ModuleWaiters),
		PoolBytes:    limits.TotalMemory,
		Compilation: engine.CompilationLimits{
			Time:   limits.CompilationTime.Duration,
			Memory: limits.CompilationMemory,
		},
	}
}

// newFetcher returns the fetcher for a configuration, and its store of modules below the state
// directory. If there is no state directory, or it cannot be used, the store is nil, and the
// fetcher fetches modules at every start. newFetcher logs that it cannot be used. A nil verifier
// accepts all modules.
func newFetcher(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	verifier module.Verifier) (*module.Fetcher, *module.Store, error) {
	var store *module.Store
	if config.StateDirectory != "" {
		var err error
		store, err = module.OpenStore(filepath.Join(config.StateDirectory, "modules"))
		if err != nil {
			klog.FromContext(ctx).
				Error(err,
					"Modules are not kept: those from registries and servers have to be fetched at every start")
		}
	}
	fetcher, err := module.NewFetcher(module.Options{
		MaxBytes: config.Limits.ModuleSize,
		Store:    store,
		Sources:  sources(&config.Sources),
		Verifier: verifier,
	})
	if err != nil {
		return nil, nil, err
	}
	return fetcher, store, nil
}

func sources(config *wasmadmission.Sources) module.Sources {
	s := module.Sources{
		Insecure:     config.Insecure,
		DockerConfig: config.DockerConfig,
		Layout:       config.Layout,
		Timeout:      config.Timeout.Duration,
	}
	for _, a := range config.Authorities {
		s.Authorities = append(s.Authorities, module.Authority(a))
	}
	for _, m := range config.Mirrors {
		s.Mirrors = append(s.Mirrors, module.Mirror(m))
	}
	return s
}
