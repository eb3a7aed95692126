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

package policyset

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// Kubewarden's users know these messages.
const (
	mutationMessage = "mutation is not allowed inside of policy group"
	expressionError = "error evaluating policy group expression"
)

// maxFailed bounds how many members may fail in an evaluation that admits a request.
const maxFailed = 6

// poll is one evaluation of a group.
type poll struct {
	group   *group
	ctx     context.Context
	request []byte
	// answers are the latest answers of the members that were asked.
	answers map[string]answer
	// failures are the errors of members that had no verdict at least once.
	failures map[string]error
	// usage is the total of all evaluations of members.
	usage abi.Usage
}

// answer is what a group takes for a member's verdict.
type answer struct {
	accepted bool
	message  string
}

// ask asks a member. An error ends the evaluation of the group.
func (p *poll) ask(name string) (bool, error) {
	a, err := p.answer(name)
	if err != nil {
		return false, err
	}
	p.answers[name] = a
	return a.accepted, nil
}

func (p *poll) answer(name string) (answer, error) {
	member := p.group.members[name]
	ctx, span := spans.Start(p.ctx, spans.Member)
	response, usage, err := member.Evaluate(ctx, p.request)
	member.Describe(span, usage, err)
	span.End()
	p.usage.Add(usage)
	switch {
	case err != nil && (p.ctx.Err() != nil || notStarted(err)):
		return answer{}, err
	case err != nil:
		p.failures[name] = err
		return answer{message: explain(err)}, nil
	case p.changes(response.MutatedObject):
		return answer{message: mutationMessage}, nil
	}
	return answer{accepted: response.Accepted, message: response.Explanation()}, nil
}

// requireCertainty returns an error if an expression is true only because members failed, as
// !member() is. Such a group has no verdict. Otherwise, anyone who can make a member fail could
// have every request admitted.
func (p *poll) requireCertainty() error {
	failed := sets.List(sets.KeySet(p.failures))
	if len(failed) > maxFailed {
		return fmt.Errorf("%d members failed: %w", len(failed), p.failures[failed[0]])
	}
	// The expression is true if none of them accepts. Try all other combinations.
	for accepting := 1; accepting < 1<<len(failed); accepting++ {
		accepted, err := p.group.expression.Evaluate(p.ctx, func(name string) (bool, error) {
			if n, found := slices.BinarySearch(failed, name); found {
				return accepting>>n&1 == 1, nil
			}
			if a, asked := p.answers[name]; asked {
				return a.accepted, nil
			}
			accepted, err := p.ask(name)
			return accepted, cmp.Or(err, p.failures[name])
		})
		if err != nil {
			return err
		}
		if !accepted {
			return fmt.Errorf("true only because %s failed: %w", failed, p.failures[failed[0]])
		}
	}
	return nil
}

// causes returns one cause for each member that was asked and refused, sorted by name.
func (p *poll) causes() (causes []abi.Cause) {
	for _, name := range sets.List(sets.KeySet(p.answers)) {
		if a := p.answers[name]; !a.accepted {
			causes = append(causes, abi.Cause{Field: "spec.policies." + name, Message: a.message})
		}
	}
	return causes
}

// notStarted reports whether a member failed because it got no instance, either now or in the last
// attempt that its breaker allowed.
func notStarted(err error) bool {
	if open := (*breaker.OpenError)(nil); errors.As(err, &open) {
		err = open.Last
	}
	return withoutInstance(err)
}

// explain returns the text of a member's error. It does not name the member, because the cause
// does.
func explain(err error) string {
	if e := (*EvaluationError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return verdict.Explain(err)
}

// changes reports whether a member returned an object that differs from the request's.
func (p *poll) changes(mutated []byte) bool {
	if mutated == nil {
		return false
	}
	var before struct {
		Object json.RawMessage `json:"object"`
	}
	return json.Unmarshal(p.request, &before) != nil ||
		verdict.ChangeOf(before.Object, mutated) != verdict.Unchanged
}
