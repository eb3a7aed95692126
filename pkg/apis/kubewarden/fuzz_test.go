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

package kubewarden_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	configvalidation "github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

// Decoding any file ends without a panic, and the policies that it returns pass the validation of
// the configuration.
func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.*")
	require.NoError(f, err)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(content, filepath.Ext(path) == ".json")
	}
	for _, seed := range []string{
		"a: &a [*a]", "--- {}", "...", "{}{}", "apiVersion: v1\nkind: List\nitems: [1, null, {}]",
		"? {a: b}\n: c",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	config := &wasmadmission.WasmAdmissionConfiguration{StateDirectory: "/var/lib/wasm"}
	f.Fuzz(func(t *testing.T, content []byte, isJSON bool) {
		path := "a.yaml"
		if isJSON {
			path = "a.json"
		}
		manifests, err := kubewarden.Files{{Path: path, Content: content}}.Decode(config)
		if err != nil {
			require.Empty(t, manifests.Policies)
			require.Empty(t, manifests.PolicyGroups)
			return
		}
		names := map[string]bool{}
		take := func(name, namespace string) {
			require.False(t, names[name])
			names[name] = true
			require.Empty(t, validation.IsDNS1123Subdomain(name))
			require.Equal(t, namespace != "", name[:len("namespaced-")] == "namespaced-")
			require.Equal(t, path, manifests.Origins[name].File)
		}
		for i := range manifests.Policies {
			policy := &manifests.Policies[i]
			take(policy.Name, policy.Namespace)
			require.Empty(t, configvalidation.ValidatePolicy(policy, config, nil))
			require.NotEmpty(t, policy.Rules)
		}
		for i := range manifests.PolicyGroups {
			group := &manifests.PolicyGroups[i]
			take(group.Name, group.Namespace)
			require.Empty(t, configvalidation.ValidatePolicyGroup(group, config, nil))
		}
		require.Len(t, manifests.Origins, len(names))
	})
}
