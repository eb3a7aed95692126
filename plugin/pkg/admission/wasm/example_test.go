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

package wasm_test

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"github.com/wasm-admission/wasm-admission/featuregate"
	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// To add the plugin to your own API server takes five steps. Call engine.ServeCompilations first in
// main. Add the feature gate before you add flags. Register the plugin. Add [wasm.PluginName] to
// the order of plugins (RecommendedPluginOrder of the generic AdmissionOptions). Pass the health
// checks to AddReadyzChecks of the generic API server. With [wasm.WithStatus], the server also
// publishes what it serves for other servers.
func ExampleRegister() {
	if err := featuregate.Add(utilfeature.DefaultMutableFeatureGate); err != nil {
		panic(err)
	}
	plugins := admission.NewPlugins() // Plugins of the generic AdmissionOptions
	checks := wasm.Register(plugins)

	fmt.Println(plugins.Registered())
	for _, check := range checks {
		fmt.Println("/readyz/" + check.Name())
	}
	fmt.Println("enabled:", utilfeature.DefaultFeatureGate.Enabled(featuregate.WasmAdmission))
	// Output:
	// [WasmAdmission]
	// /readyz/wasm-admission
	// /readyz/wasm-admission-policies
	// enabled: false
}
