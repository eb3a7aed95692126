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

// Command owner-label is an example of a policy that has settings, reads the cluster and changes
// objects. It labels new objects with the owner in the label of their namespace.
package main

import (
	"errors"

	"github.com/wasm-admission/wasm-admission/sdk/go/kubernetes"
	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// Settings are the policy's settings.
type Settings struct {
	// Label is the name of the label. Required.
	Label string `json:"label"`
}

// Validate checks the settings. It is called when the policy is loaded.
func (s Settings) Validate() error {
	if s.Label == "" {
		return errors.New("label: the name of a label is required")
	}
	return nil
}

func init() { policy.Register(validate) }

func main() {}

func validate(r *policy.Request, s Settings) (policy.Response, error) {
	if r.Operation != policy.Create || r.Namespace == "" {
		return policy.Accept(), nil
	}
	object, err := policy.Object[map[string]any](r)
	if err != nil {
		return policy.Response{}, err
	}
	if _, labelled := policy.NestedField(object, "metadata", "labels", s.Label); labelled {
		return policy.Accept(), nil
	}
	namespace, err := kubernetes.Get[policy.PartialObjectMetadata](kubernetes.GetOptions{
		APIVersion: "v1", Kind: "Namespace", Name: r.Namespace,
	})
	if err != nil {
		return policy.Response{}, err
	}
	owner, found := namespace.Metadata.Labels[s.Label]
	if !found {
		return policy.Rejectf("neither %s nor its namespace has the label %s", r.Name, s.Label).
			WithCode(403), nil
	}
	if err := policy.SetNestedField(object, owner, "metadata", "labels", s.Label); err != nil {
		return policy.Response{}, err
	}
	return policy.Mutate(object).WithWarnings("the owner is " + owner), nil
}
