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

package dispatch

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
)

// What Kubewarden's users know to be said of mutations that cannot be.
const (
	mayNotMutate   = "Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
	cannotMutateIt = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
)

// judge says what an evaluation comes to.
func (e *evaluation) judge() {
	e.outcome, e.refusal = e.verdict()
	if e.mode == wasmadmission.ModeMonitor {
		e.unheeded, e.refusal = e.refusal, nil
	}
}

// verdict is what the evaluation comes to unless the policy is in monitor mode.
func (e *evaluation) verdict() (metrics.Outcome, *refusal) {
	spec := e.policy().Spec()
	switch {
	case e.err != nil && spec.FailurePolicy == admissionregistrationv1.Ignore && !e.undecided:
		return metrics.FailedOpen, nil
	case e.err != nil:
		return metrics.FailedClosed, failure(e)
	case e.mutation.wanted && !e.mutation.possible:
		e.response.Warnings, e.response.AuditAnnotations = nil, nil
		e.response.OmittedWarnings, e.response.OmittedAuditAnnotations = 0, 0
		return metrics.Denied, refuse(e.policy(), cannotMutateIt, 0)
	case e.mutation.wanted && !spec.Mutating:
		return metrics.Denied, refuse(e.policy(), fmt.Sprintf(mayNotMutate, e.policy().Name()), 0)
	case !e.response.Accepted:
		return metrics.Denied, refuseFor(e.policy(), e.response)
	}
	return metrics.Accepted, nil
}
