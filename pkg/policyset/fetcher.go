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
	"context"
	"path/filepath"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// NewFetcher returns the fetcher that a configuration asks for, and the store that it
// keeps modules in, below the state directory. Without one, and if it cannot be used,
// which is logged, the store is nil: modules are fetched at every start then. The
// verifier decides whether a module may be used; nil means that all may.
func NewFetcher(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration, verifier module.Verifier) (*module.Fetcher, *module.Store, error) {
	var store *module.Store
	if config.StateDirectory != "" {
		var err error
		if store, err = module.OpenStore(filepath.Join(config.StateDirectory, "modules")); err != nil {
			klog.FromContext(ctx).Error(err, "Modules are not kept: those from registries and servers have to be fetched at every start")
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
	s := module.Sources{Insecure: config.Insecure, DockerConfig: config.DockerConfig, Timeout: config.Timeout.Duration}
	for _, a := range config.Authorities {
		s.Authorities = append(s.Authorities, module.Authority(a))
	}
	for _, m := range config.Mirrors {
		s.Mirrors = append(s.Mirrors, module.Mirror(m))
	}
	return s
}
