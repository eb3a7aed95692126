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
	"math"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// RequestSize returns the total size of a request given in parts, or an error if the guest may not
// receive that much.
func RequestSize(module *engine.Module, env *abi.Environment, operation string,
	parts [][]byte) (int, error) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if limit := min(env.Limits.RequestBytes, math.MaxInt32); int64(size) > limit {
		return 0, &engine.Error{Digest: module.Digest(), Phase: engine.PhaseCall,
			Function: operation,
			Cause:    engine.CauseLimit,
			Err: &engine.LimitError{
				Limit:   abi.LimitRequestBytes,
				Value:   int64(size),
				Max:     limit,
				Setting: "limits.requestSize",
			}}
	}
	return size, nil
}
