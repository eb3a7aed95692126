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

// Package rule is the rule that the guests here
// implement: a Pod must not have privileged containers.
package rule

// Pod is the part of a Pod that the rule reads.
type Pod struct {
	Spec struct {
		InitContainers []container `json:"initContainers"`
		Containers     []container `json:"containers"`
	} `json:"spec"`
}

type container struct {
	Name            string `json:"name"`
	SecurityContext struct {
		Privileged bool `json:"privileged"`
	} `json:"securityContext"`
}

// Offender returns the name of a privileged container, or nothing.
func (p *Pod) Offender() string {
	for _, containers := range [][]container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range containers {
			if c.SecurityContext.Privileged {
				return c.Name
			}
		}
	}
	return ""
}
