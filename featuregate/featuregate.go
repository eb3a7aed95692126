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
// The gate is a versioned one, as all gates of Kubernetes components are since
// KEP-4330 (compatibility versions): what it defaults to, and whether it exists
// at all, depends on the version that a component emulates.
package featuregate

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/component-base/featuregate"
)

// WasmAdmission enables the admission plugin that evaluates WebAssembly
// policies inside the kube-apiserver. While it is off the plugin admits every
// request and refuses to be configured.
//
// Alpha and off by default since 1.37. Unknown to components that emulate an
// earlier version.
const WasmAdmission featuregate.Feature = "WasmAdmission"

// Add makes WasmAdmission known to gate. A component calls it once per gate,
// before the gate is bound to flags; adding the same specification a second
// time does nothing. It fails if gate is bound to flags already or knows a
// different feature of that name.
func Add(gate featuregate.MutableVersionedFeatureGate) error {
	if err := gate.AddVersioned(versionedSpecs()); err != nil {
		return fmt.Errorf("adding feature gate %s: %w", WasmAdmission, err)
	}
	return nil
}

// versionedSpecs lists, oldest first, each Kubernetes version in which
// something about the gate changed.
func versionedSpecs() map[featuregate.Feature]featuregate.VersionedSpecs {
	return map[featuregate.Feature]featuregate.VersionedSpecs{
		WasmAdmission: {
			{Version: version.MustParse("1.37"), Default: false, PreRelease: featuregate.Alpha},
		},
	}
}
