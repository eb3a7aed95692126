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

package review

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mayNotMutate is what Kubewarden's users know to be said of mutations that cannot be.
const mayNotMutate = "Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations."

// Policy is what of a policy's configuration has a say in its responses.
type Policy struct {
	// ID is what the policy is called.
	ID string
	// Monitor is whether requests are admitted whatever the policy says.
	Monitor bool
	// MayMutate is whether the policy may change objects.
	MayMutate bool
	// Message replaces what the policy says of a rejection; "" keeps it.
	Message string
}

// Apply returns what becomes of a policy's response: first monitor mode is applied, then
// the right to mutate, then the message, as policy-server does it. The response is not
// changed.
func (p Policy) Apply(response *Response) *Response {
	is := *response
	switch {
	case p.Monitor:
		is.Allowed, is.Patch, is.PatchType, is.Status = true, nil, "", nil
	case is.Patch != nil && !p.MayMutate:
		is.Allowed, is.Patch, is.PatchType = false, nil, ""
		is.Status = &Status{Message: fmt.Sprintf(mayNotMutate, p.ID)}
	}
	if !is.Allowed && p.Message != "" {
		is.Status = is.Status.withMessage(p.Message)
	}
	return &is
}

// withMessage returns a status with another message, and keeps the one before as a cause.
func (s *Status) withMessage(message string) *Status {
	if s == nil {
		return &Status{Message: message}
	}
	is := &Status{Message: message, Reason: s.Reason, Code: s.Code}
	if s.Details != nil {
		is.Details = s.Details.DeepCopy()
	}
	if s.Message != "" {
		is.addCause(metav1.StatusCause{Message: s.Message})
	}
	return is
}
