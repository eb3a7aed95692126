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

// Package wasm is the WasmAdmission admission plugin.
//
// This is a placeholder that admits every request; it exists so that
// cmd/kube-apiserver can be built and tested before the plugin is merged.
package wasm

import (
	"io"
	"net/http"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/server/healthz"
)

// PluginName is the name under which the plugin is registered, switched on and
// off with the admission flags, and configured in an AdmissionConfiguration.
const PluginName = "WasmAdmission"

// Register adds the plugin's factory to plugins. The checker it returns is
// named wasm-admission and reports whether the plugin is ready to serve; it is
// safe for concurrent use.
func Register(plugins *admission.Plugins) healthz.HealthChecker {
	plugins.Register(PluginName, func(io.Reader) (admission.Interface, error) {
		return admission.NewHandler(), nil
	})
	return healthz.NamedCheck("wasm-admission", func(*http.Request) error { return nil })
}
