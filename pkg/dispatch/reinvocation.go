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
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
)

// reinvocationKey is the plugin's key in a request's reinvocation context.
const reinvocationKey = "WasmAdmission"

// reinvocation decides which policies are evaluated when the mutating phase of a request runs a
// second time. The rules are those of mutating webhooks: a reinvocable policy is evaluated again if
// something else changed the object after it. A policy that was not evaluated in the first round is
// not evaluated in the second, even if it matches by then.
type reinvocation struct {
	context admission.ReinvocationContext
	*reinvocationState
}

// reinvocationState is the state that is kept from one round to the next.
type reinvocationState struct {
	// output is the object as the policies left it.
	output runtime.Object
	// current are the reinvocable policies that saw the object in its current state or left it in
	// that state. stale are those after which the object changed.
	current, stale sets.Set[string]
}

func beginRound(attr admission.Attributes) *reinvocation {
	context := attr.GetReinvocationContext()
	state, found := context.Value(reinvocationKey).(*reinvocationState)
	if !found {
		state = &reinvocationState{current: sets.New[string](), stale: sets.New[string]()}
		context.SetValue(reinvocationKey, state)
	}
	if context.IsReinvoke() && state.current.Len() > 0 &&
		!equality.Semantic.DeepEqual(state.output, attr.GetObject()) {
		state.outdate()
	}
	return &reinvocation{context: context, reinvocationState: state}
}

// wants reports whether a policy is evaluated in this round.
func (i *reinvocation) wants(h *hook) bool {
	return !i.context.IsReinvoke() || i.stale.Has(h.policy.Name())
}

// evaluated records that a policy was evaluated, and whether it changed the object.
func (i *reinvocation) evaluated(h *hook, changed bool) {
	if changed {
		i.outdate()
		i.context.SetShouldReinvoke()
	}
	if h.reinvocable() {
		i.current.Insert(h.policy.Name())
	}
}

// end records the object at the end of the round.
func (i *reinvocation) end(attr admission.Attributes) {
	i.output = nil
	if object := attr.GetObject(); object != nil && i.current.Len() > 0 {
		i.output = object.DeepCopyObject()
	}
}

func (s *reinvocationState) outdate() {
	s.stale = s.stale.Union(s.current)
	s.current = sets.New[string]()
}
