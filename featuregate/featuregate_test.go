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

package featuregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/version"
	basefeaturegate "k8s.io/component-base/featuregate"

	"github.com/wasm-admission/wasm-admission/featuregate"
)

func newGate(t *testing.T, emulated string) basefeaturegate.MutableVersionedFeatureGate {
	gate := basefeaturegate.NewVersionedFeatureGate(version.MustParse(emulated))
	require.NoError(t, featuregate.Add(gate))
	return gate
}

func TestDefaultOff(t *testing.T) {
	gate := newGate(t, "1.37")
	require.False(t, gate.Enabled(featuregate.WasmAdmission))
	require.NoError(t, gate.Set("WasmAdmission=true"))
	require.True(t, gate.Enabled(featuregate.WasmAdmission))
}

func TestOnWithAllAlpha(t *testing.T) {
	gate := newGate(t, "1.37")
	require.NoError(t, gate.Set("AllAlpha=true"))
	require.True(t, gate.Enabled(featuregate.WasmAdmission))
}

func TestKnown(t *testing.T) {
	require.Contains(t, newGate(t, "1.37").KnownFeatures(),
		"WasmAdmission=true|false (ALPHA - default=false)")
}

func TestUnknownBefore137(t *testing.T) {
	gate := newGate(t, "1.36")
	require.ErrorContains(t, gate.Set("WasmAdmission=true"), "WasmAdmission")
	require.False(t, gate.Enabled(featuregate.WasmAdmission))
}

func TestAddTwice(t *testing.T) {
	gate := newGate(t, "1.37") // adds it a first time
	require.NoError(t, featuregate.Add(gate))
}

func TestAddToAGateWithAnotherFeatureOfThatName(t *testing.T) {
	gate := basefeaturegate.NewVersionedFeatureGate(version.MustParse("1.37"))
	require.NoError(t, gate.AddVersioned(map[basefeaturegate.Feature]basefeaturegate.VersionedSpecs{
		featuregate.WasmAdmission: {{
			Version: version.MustParse("1.37"), Default: true, PreRelease: basefeaturegate.Beta,
		}},
	}))
	require.ErrorContains(t, featuregate.Add(gate), "adding feature gate WasmAdmission")
}
