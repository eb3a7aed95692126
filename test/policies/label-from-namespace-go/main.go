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

// Command label-from-namespace-go is a Kubewarden policy that copies a label from the
// namespace to objects. It looks the namespace up in the cluster, and logs what it does.
// It denies an object if the lookup fails, or if the namespace does not have the label.
package main

import (
	"encoding/json"
	"errors"

	"github.com/wasm-admission/wasm-admission/sdk/go/kubernetes"
	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/rawjson"
)

// settings are the settings of the policy.
type settings struct {
	// Label is the name of the label.
	Label string `json:"label"`
}

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

// Validate is called when the policy is loaded.
func (s settings) Validate() error {
	if s.Label == "" {
		return errors.New("label: the name of a label is required")
	}
	return nil
}

func validate(r *policy.Request, s settings) (policy.Response, error) {
	if r.Namespace == "" || r.Operation != policy.Create && r.Operation != policy.Update {
		return policy.Accept(), nil
	}
	namespace, err := kubernetes.Get[policy.PartialObjectMetadata](kubernetes.GetOptions{
		APIVersion: "v1",
		Kind:       "Namespace",
		Name:       r.Namespace,
	})
	if err != nil {
		return policy.Rejectf("looking up namespace %s: %v", r.Namespace, err).WithCode(500), nil
	}
	value, found := namespace.Metadata.Labels[s.Label]
	if !found {
		return policy.Rejectf("namespace %s has no label %s", r.Namespace, s.Label).WithCode(403),
			nil
	}
	if r.Object == nil {
		return policy.Response{}, policy.ErrNoObject
	}
	return addLabel(string(r.Object), s.Label, value, r.Namespace)
}

// addLabel adds the namespace's label to an object, unless the object already has it.
func addLabel(object, label, value, namespace string) (policy.Response, error) {
	if _, _, labelled := rawjson.Find(object, "metadata", "labels", label); labelled {
		return policy.Accept(), nil
	}
	mutated := rawjson.Add(object, label, rawjson.Quote(value), "metadata", "labels")
	if mutated == object {
		return policy.Response{}, errors.New("the object has no metadata that takes a label")
	}
	// A failed log is not a reason to deny a request.
	_ = policy.Log(policy.LogInfo, "label "+label+" is taken from namespace "+namespace, nil)
	return policy.Mutate(json.RawMessage(mutated)), nil
}
