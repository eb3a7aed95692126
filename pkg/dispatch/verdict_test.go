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
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

func conclude(ctx context.Context, reviewed string, response *abi.ValidationResponse) error {
	d := &Dispatcher{recorder: metrics.Discard{}}
	r := newRequest(attributes("", "pods", "", admission.Create), nil)
	return d.conclude(ctx, r, []evaluation{{policy: &policyset.Policy{}, review: &review{json: []byte(reviewed)}, response: response}})
}

// A policy that may not mutate may still hand the object back.
func TestMutationsAreRefused(t *testing.T) {
	const pod = `{"object":{"kind":"Pod","spec":{"a":1,"b":[]}}}`
	for _, test := range []struct {
		name, reviewed, mutated string
		refused                 bool
	}{
		{"the same object", pod, `{"spec":{"b":[],"a":1.0},"kind":"Pod"}`, false},
		{"another object", pod, `{"kind":"Pod","spec":{"a":2,"b":[]}}`, true},
		{"less", pod, `{"kind":"Pod"}`, true},
		{"an object on DELETE", `{"oldObject":{"kind":"Pod"}}`, `{"kind":"Pod"}`, true},
		{"no JSON", pod, `{`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := conclude(t.Context(), test.reviewed, &abi.ValidationResponse{Accepted: true, MutatedObject: json.RawMessage(test.mutated)})
			if test.refused {
				require.ErrorContains(t, err, "The policy attempted to mutate the request, but it is currently configured to not allow mutations.")
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestCodesAreThoseOfErrors(t *testing.T) {
	for wanted, code := range map[int32]int32{0: 400, 200: 400, 399: 400, 400: 400, 403: 403, 599: 599, 600: 599, 65535: 599} {
		require.Equal(t, code, statusCode(wanted), "%d", wanted)
	}
}

// recorder keeps warnings as they would be sent.
type recorder struct{ texts []string }

func (r *recorder) AddWarning(_, text string) { r.texts = append(r.texts, text) }

func TestWarningsCarryNoControlCharacters(t *testing.T) {
	r := &recorder{}
	err := conclude(warning.WithWarningRecorder(t.Context(), r), "{}", &abi.ValidationResponse{Accepted: true, Warnings: []string{"one\ntwo\x00three", "bad \xff"}})
	require.NoError(t, err)
	require.Equal(t, []string{"one two three", "bad \uFFFD"}, r.texts)
}
