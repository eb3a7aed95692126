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
	"errors"
	"fmt"
	"slices"
)

// settings say what to change. All fields are optional. A path consists of field
// names separated by dots, from the top of the object, such as spec.replicas.
type settings struct {
	// Labels and Annotations are added unless the name exists.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Sidecar is a container that is added unless its name exists.
	Sidecar map[string]any `json:"sidecar"`
	// Remove are the paths of fields to remove.
	Remove []string `json:"remove"`
	// Maximums are the largest values of whole numbers, by path.
	Maximums map[string]int64 `json:"maximums"`
}

// Validate is called when the policy is loaded.
func (s settings) Validate() error {
	if len(s.Labels)+len(s.Annotations)+len(s.Sidecar)+len(s.Remove)+len(s.Maximums) == 0 {
		return errors.New("nothing to add, remove or bring down")
	}
	if name, _ := s.Sidecar["name"].(string); s.Sidecar != nil && name == "" {
		return errors.New("sidecar: a name is required")
	}
	if n := slices.Index(s.Remove, ""); n >= 0 {
		return fmt.Errorf("remove[%d]: the path of a field must not be empty", n)
	}
	if _, found := s.Maximums[""]; found {
		return errors.New("maximums: the path of a field must not be empty")
	}
	return nil
}
