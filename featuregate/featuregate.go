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

// Package featuregate declares the WasmAdmission feature gate.
//
// The gate is versioned, as all gates of Kubernetes components are since KEP-4330 (compatibility
// versions). Its default, and whether it exists at all, depend on the version that a component
// emulates.
package featuregate

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/component-base/featuregate"
)

// WasmAdmission enables the admission plugin that evaluates WebAssembly policies inside the
// kube-apiserver. If it is off, the plugin admits every request, and a configuration for it is an
// error.
//
// Alpha and off by default since 1.37. Components that emulate an earlier version do not know it.
const WasmAdmission featuregate.Feature = "WasmAdmission"

// Add adds WasmAdmission to gate. A component calls it once per gate, before it binds the gate to
// flags. Adding the same specification again does nothing. Add returns an error if gate is already
// bound to flags or has a different feature with that name.
func Add(gate featuregate.MutableVersionedFeatureGate) error {
	if err := gate.AddVersioned(versionedSpecs()); err != nil {
		return fmt.Errorf("adding feature gate %s: %w", WasmAdmission, err)
	}
	return nil
}

// versionedSpecs returns each Kubernetes version in which the gate changed, oldest first.
func versionedSpecs() map[featuregate.Feature]featuregate.VersionedSpecs {
	return map[featuregate.Feature]featuregate.VersionedSpecs{
		WasmAdmission: {
			{Version: version.MustParse("1.37"), Default: false, PreRelease: featuregate.Alpha},
		},
	}
}
