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
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// resources are the resources that the policies match, in turns. Only the first policy matches
// Pods.
var resources = []string{
	"deployments", "services", "ingresses", "configmaps", "secrets", "namespaces",
}

// Parts of a directory of policies.
func manifests(directory string) string { return filepath.Join(directory, "policies") }
func state(directory string) string     { return filepath.Join(directory, "state") }

// writePolicies writes a number of policies that use a number of the modules, one file each.
func writePolicies(directory, modules string, policies, of int) error {
	for _, path := range []string{manifests(directory), state(directory)} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	for n := range policies {
		resource := "pods"
		if n > 0 {
			resource = resources[n%len(resources)]
		}
		if err := writePolicy(directory, n, resource, sample.ModulePath(modules, n%of),
			"privileged containers are not allowed"); err != nil {
			return err
		}
	}
	return nil
}

// writePolicy writes the manifest of policy n.
func writePolicy(directory string, n int, resource, module, message string) error {
	name := fmt.Sprintf("policy-%d", n)
	data, err := json.Marshal(map[string]any{
		"apiVersion": "policies.kubewarden.io/v1",
		"kind":       "ClusterAdmissionPolicy",
		"metadata":   map[string]any{"name": name},
		"spec": map[string]any{
			"module":   "file://" + module,
			"mutating": false,
			"settings": map[string]any{},
			"message":  name + " says no: " + message,
			"rules": []map[string]any{{
				"apiGroups":   []string{"", "apps", "networking.k8s.io"},
				"apiVersions": []string{"v1"},
				"resources":   []string{resource}, "operations": []string{"CREATE", "UPDATE"},
			}},
		},
	})
	if err != nil {
		return err
	}
	// Rename the file, so that it appears complete.
	path := filepath.Join(manifests(directory), name+".json")
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
