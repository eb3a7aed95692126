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

package v1alpha1_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

func TestConvertSizes(t *testing.T) {
	tests := []struct {
		size string
		want int64
		err  string
	}{
		{size: "0", want: 0},
		{size: "1", want: 1},
		{size: "1.0", want: 1},
		{size: "1k", want: 1000},
		{size: "1.5Ki", want: 1536},
		{size: "4Gi", want: 4 << 30},
		{size: "-1Ki", want: -1024},
		{size: "9223372036854775807", want: math.MaxInt64},
		// The quantity parser caps values with a binary suffix. Validation rejects this one.
		{size: "8Ei", want: math.MaxInt64},
		{
			size: "0.5",
			err:  `limits.memory: 0.5 is not a whole number of bytes below 8Ei: write one, such as 128Mi`,
		},
		{
			size: "1.5",
			err:  `limits.memory: 1.5 is not a whole number of bytes below 8Ei: write one, such as 128Mi`,
		},
		{
			size: "1000E",
			err:  `limits.memory: 1000000000000000000000 is not a whole number of bytes below 8Ei: write one, such as 128Mi`,
		},
	}
	for _, test := range tests {
		t.Run(test.size, func(t *testing.T) {
			in := v1alpha1.Limits{Memory: new(resource.MustParse(test.size))}
			var internal wasmadmission.Limits
			err := v1alpha1.Convert_v1alpha1_Limits_To_wasmadmission_Limits(&in, &internal, nil)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, internal.Memory)

			var back v1alpha1.Limits
			require.NoError(t,
				v1alpha1.Convert_wasmadmission_Limits_To_v1alpha1_Limits(&internal, &back, nil))
			require.Zero(t, back.Memory.Cmp(*in.Memory))
		})
	}
}

// Each size has its own error with its name, and all are reported.
func TestConvertSizesNamesFields(t *testing.T) {
	half := new(resource.MustParse("0.5"))
	in := v1alpha1.Limits{
		ModuleSize: half, Memory: half, RequestSize: half,
		ResponseSize: half, HostCallPayloadSize: half, LogLineSize: half, CompilationMemory: half,
		TotalMemory: half,
	}
	var out wasmadmission.Limits
	const reason = `: 0.5 is not a whole number of bytes below 8Ei: write one, such as 128Mi`
	require.EqualError(t, v1alpha1.Convert_v1alpha1_Limits_To_wasmadmission_Limits(&in, &out, nil),
		"limits.moduleSize"+reason+"\nlimits.memory"+reason+"\nlimits.requestSize"+reason+
			"\nlimits.responseSize"+reason+"\nlimits.hostCallPayloadSize"+reason+
			"\nlimits.logLineSize"+reason+"\nlimits.compilationMemory"+reason+
			"\nlimits.totalMemory"+reason)
}

// The members of a group are a map in the file and a sorted list in memory.
func TestConvertGroup(t *testing.T) {
	in := v1alpha1.PolicyGroup{Name: "g", Policies: map[string]v1alpha1.PolicyGroupMember{
		"b": {Module: "file:///b.wasm"}, "c": {Module: "file:///c.wasm"},
		"a": {Module: "file:///a.wasm", TimeoutEvalSeconds: new(int32(3))},
	}}
	var internal wasmadmission.PolicyGroup
	require.NoError(t,
		v1alpha1.Convert_v1alpha1_PolicyGroup_To_wasmadmission_PolicyGroup(&in, &internal, nil))
	require.Equal(t, []wasmadmission.PolicyGroupMember{
		{Name: "a", Module: "file:///a.wasm", TimeoutEvalSeconds: new(int32(3))},
		{Name: "b", Module: "file:///b.wasm"},
		{Name: "c", Module: "file:///c.wasm"},
	}, internal.Policies)

	var back v1alpha1.PolicyGroup
	require.NoError(t,
		v1alpha1.Convert_wasmadmission_PolicyGroup_To_v1alpha1_PolicyGroup(&internal, &back, nil))
	require.Equal(t, in, back)
}

// Dropping the namespace would widen what a policy sees.
func TestConvertRefusesNamespaces(t *testing.T) {
	err := v1alpha1.Convert_wasmadmission_Policy_To_v1alpha1_Policy(
		&wasmadmission.Policy{Name: "a", Namespace: "team"}, &v1alpha1.Policy{}, nil)
	require.EqualError(t, err,
		`policy "a" is restricted to namespace "team", which wasm.admission.config.k8s.io/v1alpha1 cannot express`)
	err = v1alpha1.Convert_wasmadmission_PolicyGroup_To_v1alpha1_PolicyGroup(
		&wasmadmission.PolicyGroup{Name: "g", Namespace: "team"}, &v1alpha1.PolicyGroup{}, nil)
	require.EqualError(t, err,
		`policy group "g" is restricted to namespace "team", which wasm.admission.config.k8s.io/v1alpha1 cannot express`)
}

func TestConvertSizesOfCapabilitiesNamesFields(t *testing.T) {
	half := new(resource.MustParse("0.5"))
	in := v1alpha1.KubernetesCapability{
		MemorySize: half, GetResource: v1alpha1.AnswerCache{CacheSize: half},
		CanI: v1alpha1.AnswerCache{CacheSize: half},
	}
	var out wasmadmission.KubernetesCapability
	const reason = `: 0.5 is not a whole number of bytes below 8Ei: write one, such as 128Mi`
	require.EqualError(t,
		v1alpha1.Convert_v1alpha1_KubernetesCapability_To_wasmadmission_KubernetesCapability(&in,
			&out, nil),
		"capabilities.kubernetes.memorySize"+reason+
			"\ncapabilities.kubernetes.getResource.cacheSize"+reason+
			"\ncapabilities.kubernetes.canI.cacheSize"+reason)
}
