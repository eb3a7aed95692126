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

package verdict_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

func TestJudge(t *testing.T) {
	const (
		mayNot = "Request rejected by policy p. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
		isNull = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
	)
	object := json.RawMessage(`{}`)
	accepts := abi.ValidationResponse{
		Accepted:      true,
		MutatedObject: object,
		Warnings:      []string{"w"},
	}
	denies := abi.ValidationResponse{
		Message:       "m",
		Code:          403,
		MutatedObject: object,
		Warnings:      []string{"w"},
	}
	unchanged := func(r abi.ValidationResponse) *abi.ValidationResponse {
		r.MutatedObject = nil
		return &r
	}
	failed := verdict.Answer{Err: errors.New("no verdict")}
	for name, test := range map[string]struct {
		terms  verdict.Terms
		answer verdict.Answer
		want   verdict.Judgement
	}{
		"accepts": {
			verdict.Terms{Message: "custom"}, verdict.Answer{Response: &accepts},
			verdict.Judgement{Outcome: verdict.Accepted, Response: unchanged(accepts)},
		},
		"accepts and changes": {
			verdict.Terms{MayMutate: true},
			verdict.Answer{Response: &accepts, Change: verdict.Changed},
			verdict.Judgement{Outcome: verdict.Accepted, Mutates: true, Response: &accepts},
		},
		"accepts and changes in monitor mode": {
			verdict.Terms{MayMutate: true, Monitor: true},
			verdict.Answer{Response: &accepts, Change: verdict.Changed},
			verdict.Judgement{Outcome: verdict.Accepted, Response: unchanged(accepts)},
		},
		"denies": {
			verdict.Terms{Message: "custom"}, verdict.Answer{Response: &denies},
			verdict.Judgement{
				Outcome:  verdict.Denied,
				Rejected: true,
				Response: unchanged(denies),
				Message:  "custom",
			},
		},
		"denies and changes": {
			verdict.Terms{MayMutate: true},
			verdict.Answer{Response: &denies, Change: verdict.Changed},
			verdict.Judgement{Outcome: verdict.Denied, Rejected: true, Response: &denies},
		},
		"denies in monitor mode": {
			verdict.Terms{Monitor: true, Message: "custom"}, verdict.Answer{Response: &denies},
			verdict.Judgement{
				Outcome:  verdict.Denied,
				Response: unchanged(denies),
				Message:  "custom",
			},
		},
		"may not change": {
			verdict.Terms{Name: "p", Message: "custom"},
			verdict.Answer{Response: &denies, Change: verdict.Changed},
			verdict.Judgement{
				Outcome:  verdict.Denied,
				Rejected: true,
				Response: &abi.ValidationResponse{Message: mayNot, Warnings: []string{"w"}},
				Message:  "custom",
			},
		},
		"may not change in monitor mode": {
			verdict.Terms{Name: "p", Monitor: true},
			verdict.Answer{Response: &accepts, Change: verdict.Changed},
			verdict.Judgement{
				Outcome:  verdict.Denied,
				Response: &abi.ValidationResponse{Message: mayNot, Warnings: []string{"w"}},
			},
		},
		"changes what is not there": {
			verdict.Terms{Name: "p"},
			verdict.Answer{Response: &accepts, Change: verdict.Impossible},
			verdict.Judgement{
				Outcome:  verdict.Denied,
				Rejected: true,
				Response: &abi.ValidationResponse{Message: isNull},
			},
		},
		"fails": {verdict.Terms{Message: "custom"}, failed,
			verdict.Judgement{Outcome: verdict.FailedClosed, Rejected: true, Message: "custom"}},
		"fails and may": {verdict.Terms{FailOpen: true, Message: "custom"}, failed,
			verdict.Judgement{Outcome: verdict.FailedOpen}},
		"fails in monitor": {verdict.Terms{Monitor: true}, failed,
			verdict.Judgement{Outcome: verdict.FailedClosed}},
		"fails, is ignored": {verdict.Terms{Monitor: true, FailOpen: true}, failed,
			verdict.Judgement{Outcome: verdict.FailedOpen}},
		"cannot be decided": {verdict.Terms{FailOpen: true},
			verdict.Answer{Err: failed.Err, Undecided: true},
			verdict.Judgement{Outcome: verdict.FailedClosed, Rejected: true}},
		"neither in monitor": {verdict.Terms{Monitor: true},
			verdict.Answer{Err: failed.Err, Undecided: true},
			verdict.Judgement{Outcome: verdict.FailedClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			var before abi.ValidationResponse
			if test.answer.Response != nil {
				before = *test.answer.Response
			}
			require.Equal(t, test.want, test.terms.Judge(test.answer))
			if test.answer.Response != nil {
				require.Equal(t, before, *test.answer.Response, "the answer was changed")
			}
		})
	}
}
