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

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// NewFetcher returns a fetcher for a validated configuration, for programs that do not load
// policies. It verifies modules as configured and keeps none. adjust may change the options; the
// verifier in them is nil if no signatures are demanded.
func NewFetcher(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration,
	newChecker CheckerFactory, adjust func(*module.Options)) (*module.Fetcher, error) {
	signatures, err := newSignatures(ctx, config, newChecker, nil)
	if err != nil {
		return nil, err
	}
	options := module.Options{
		MaxBytes: config.Limits.ModuleSize,
		Sources:  sources(&config.Sources),
		Verifier: signatures.verifier(),
	}
	adjust(&options)
	return module.NewFetcher(options)
}
