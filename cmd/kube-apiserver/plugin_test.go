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
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"

	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

func TestAddPlugin(t *testing.T) {
	upstream := slices.Clone(kubeoptions.AllOrderedPlugins)
	opts := options.NewServerRunOptions().Admission

	readyz, told := addPlugin(opts.GenericAdmission)
	require.NotNil(t, told)

	require.Len(t, readyz, 2)
	require.Equal(t, "wasm-admission", readyz[0].Name())
	require.Equal(t, "wasm-admission-policies", readyz[1].Name())
	require.Empty(t, opts.Validate(),
		"every plugin in the order is registered, and the other way round")
	order := opts.GenericAdmission.RecommendedPluginOrder
	at := slices.Index(order, wasm.PluginName)
	require.Positive(t, at)
	require.Equal(t, "MutatingAdmissionPolicy", order[at+1])
	require.Equal(t, upstream, slices.Delete(slices.Clone(order), at, at+1))
	require.Equal(t, upstream, kubeoptions.AllOrderedPlugins,
		"the variable of k8s.io/kubernetes is left alone")
	require.NotContains(t, opts.GenericAdmission.DefaultOffPlugins, wasm.PluginName)
}
