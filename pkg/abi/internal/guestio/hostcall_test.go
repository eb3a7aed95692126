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

package guestio

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func TestExplain(t *testing.T) {
	shortage := &abi.ShortageError{Err: errors.New("nothing left")}
	require.NoError(t, (&HostCalls{shortage: shortage}).Explain(nil))
	for name, err := range map[string]error{
		"trap": &engine.Error{
			Phase: engine.PhaseCall,
			Cause: engine.CauseUnreachable,
			Err:   errors.New("wasm trap: unreachable"),
		},
		"own":   &abi.GuestError{Text: "why not"},
		"wrong": &abi.ResponseError{Err: errors.New("no JSON")},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, err, (&HostCalls{}).Explain(err), "nothing was short")
			explained := fmt.Errorf("in a group: %w", (&HostCalls{shortage: shortage}).Explain(err))
			require.EqualError(t, explained, "in a group: "+err.Error(),
				"who reads it learns nothing else")
			require.ErrorIs(t, explained, err)
			require.ErrorIs(t, explained, shortage)
			require.Equal(t, engine.CauseOf(err), engine.CauseOf(explained))
		})
	}
}
