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
	"slices"

	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// addPlugin registers WasmAdmission and places it directly before MutatingAdmissionPolicy. It thus
// runs after the built-in plugins that set defaults, and before everything else that an
// administrator configures. It also runs before ResourceQuota, which must count the final objects.
// The plugin is enabled by default, and does nothing while its feature gate is off. The returned
// checkers report whether the plugin is ready and serves its configuration. The returned status
// reports the same to others.
func addPlugin(opts *genericoptions.AdmissionOptions) ([]healthz.HealthChecker, *serving.Status) {
	told := &serving.Status{}
	readyz := wasm.Register(opts.Plugins,
		wasm.WithGuests(abi.ExecutionModeOPA, topdown.Loader(abi.ExecutionModeOPA)),
		wasm.WithGuests(abi.ExecutionModeGatekeeper, topdown.Loader(abi.ExecutionModeGatekeeper)),
		wasm.WithChecker(sigstore.ForConfiguration), wasm.WithStatus(told))
	// The slice is a package variable of k8s.io/kubernetes, so insert into a copy.
	order := slices.Clone(opts.RecommendedPluginOrder)
	at := slices.Index(order, mutating.PluginName)
	if at < 0 {
		at = len(order)
	}
	opts.RecommendedPluginOrder = slices.Insert(order, at, wasm.PluginName)
	return readyz, told
}
