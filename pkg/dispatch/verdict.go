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
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// judge decides what follows from the answer.
func (e *evaluation) judge() {
	terms := e.policy().Terms()
	terms.Monitor = e.mode == wasmadmission.ModeMonitor
	e.judgement = terms.Judge(verdict.Answer{
		Response:  e.response,
		Change:    e.mutation.change,
		Err:       e.err,
		Undecided: e.undecided,
	})
	e.refusal, e.unheeded = nil, nil
	refused := e.refuse()
	if e.judgement.Rejected {
		e.refusal = refused
	} else {
		e.unheeded = refused
	}
}

// refuse returns the policy's part in a rejection, or nil if the policy does not object.
func (e *evaluation) refuse() *refusal {
	switch e.judgement.Outcome {
	case verdict.Denied:
		return denial(e)
	case verdict.FailedClosed:
		return failure(e)
	}
	return nil
}
