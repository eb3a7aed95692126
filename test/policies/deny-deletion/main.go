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

// Command deny-deletion is a Kubewarden policy that protects marked objects
// from deletion, and denies connections (exec, attach, port-forward, proxy)
// according to its rules and settings. Loaded from disk, it can guard objects
// that webhooks cannot: ValidatingAdmissionPolicies and webhook configurations.
package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// statusForbidden is not from net/http, because that package would add 2 MB to the module.
const statusForbidden = 403

type settings struct {
	// Operations are the operations to deny: DELETE, CONNECT or both.
	Operations []policy.Operation `json:"operations"`
	// ProtectedLabel is the name of a label or annotation. With any
	// value, it protects an object from DELETE. It does not matter
	// for CONNECT, whose object (such as PodExecOptions) has no
	// metadata. Every CONNECT request that the rules match is denied.
	ProtectedLabel string `json:"protectedLabel"`
}

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

// Validate is called when the policy is loaded.
func (s settings) Validate() error {
	if len(s.Operations) == 0 {
		return errors.New("operations: at least one of DELETE and CONNECT is required")
	}
	for i, operation := range s.Operations {
		if operation != policy.Delete && operation != policy.Connect {
			return fmt.Errorf("operations[%d]: %q is neither DELETE nor CONNECT", i, operation)
		}
	}
	if slices.Contains(s.Operations, policy.Delete) && s.ProtectedLabel == "" {
		return errors.New("protectedLabel: required when operations contains DELETE")
	}
	return nil
}

func validate(r *policy.Request, s settings) (policy.Response, error) {
	if !slices.Contains(s.Operations, r.Operation) {
		return policy.Accept(), nil
	}
	switch r.Operation {
	case policy.Delete:
		return validateDelete(r, s)
	case policy.Connect:
		return forbid("connecting to %s/%s of %q is not allowed",
			r.Resource.Resource, r.SubResource, r.Name), nil
	default:
		return policy.Accept(), nil
	}
}

func validateDelete(r *policy.Request, s settings) (policy.Response, error) {
	object, err := policy.OldObject[policy.PartialObjectMetadata](r)
	if err != nil {
		return policy.Response{}, err
	}
	metadata := object.Metadata
	if _, ok := metadata.Labels[s.ProtectedLabel]; ok {
		return forbid("%s %q is protected from deletion by its label %q",
			r.Kind.Kind, r.Name, s.ProtectedLabel), nil
	}
	if _, ok := metadata.Annotations[s.ProtectedLabel]; ok {
		return forbid("%s %q is protected from deletion by its annotation %q",
			r.Kind.Kind, r.Name, s.ProtectedLabel), nil
	}
	return policy.Accept(), nil
}

func forbid(format string, args ...any) policy.Response {
	return policy.Rejectf(format, args...).WithCode(statusForbidden)
}
