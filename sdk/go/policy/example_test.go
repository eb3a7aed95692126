//go:build !wasip1

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

package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// Labels are the settings of a policy.
type Labels struct {
	Required []string `json:"required"`
}

// Validate checks the settings. It is called when the policy is loaded.
func (s Labels) Validate() error {
	if len(s.Required) == 0 {
		return errors.New("required: at least one label is required")
	}
	return nil
}

// A policy registers a function in an init function.
func ExampleRegister() {
	register := func() { // called init in a policy
		policy.Register(func(r *policy.Request, s Labels) (policy.Response, error) {
			object, err := policy.Object[policy.PartialObjectMetadata](r)
			if err != nil {
				return policy.Response{}, err
			}
			for _, label := range s.Required {
				if _, found := object.Metadata.Labels[label]; !found {
					return policy.Rejectf("label %s is missing", label).WithCode(403), nil
				}
			}
			return policy.Accept(), nil
		})
	}
	_ = register
}

// A type with only the fields that a policy needs is enough.
func ExampleObject() {
	r := &policy.Request{
		Object: json.RawMessage(
			`{"kind":"Pod","spec":{"hostNetwork":true,"containers":[{"name":"web"}]}}`),
	}
	pod, err := policy.Object[struct {
		Spec struct {
			HostNetwork bool `json:"hostNetwork"`
		} `json:"spec"`
	}](r)
	fmt.Println(pod.Spec.HostNetwork, err)
	_, err = policy.OldObject[map[string]any](r)
	fmt.Println(err)
	// Output:
	// true <nil>
	// the request carries no object
}

// Decode an object that you change into a type that keeps all fields.
func ExampleMutate() {
	validate := func(r *policy.Request, _ policy.NoSettings) (policy.Response, error) {
		object, err := policy.Object[map[string]any](r)
		if err != nil {
			return policy.Response{}, err
		}
		if err := policy.SetNestedField(object, false, "spec", "hostNetwork"); err != nil {
			return policy.Response{}, err
		}
		return policy.Mutate(object).WithWarnings("the network of the host is not for Pods"), nil
	}
	response, err := validate(&policy.Request{
		Object: json.RawMessage(`{"spec":{"hostNetwork":true}}`),
	}, policy.NoSettings{})
	fmt.Println(response.Accepted, response.Warnings, err)
	// Output: true [the network of the host is not for Pods] <nil>
}

func ExampleReject() {
	response := policy.Reject("images must be signed").WithCode(403).
		WithWarnings("unsigned images are rejected from May on").
		WithAuditAnnotation("image", "registry.example.com/web:1")
	fmt.Println(response.Accepted, response.Code, response.Message)
	// Output: false 403 images must be signed
}
