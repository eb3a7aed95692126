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

// Package evaluation contains code shared by the benchmarks of single evaluations.
package evaluation

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// Limits are a server's default limits, or higher ones.
var Limits = abi.Limits{RequestBytes: 8 << 20, ResponseBytes: 8 << 20,
	HostCallPayloadBytes: 4 << 20,
	HostCalls:            1000, LogLineBytes: 4 << 10}

// Environment has a timeout that no evaluation reaches. Do not modify it.
var Environment = &abi.Environment{Timeout: time.Minute, Limits: Limits}

// Request returns the admission request for the evaluations: the creation of a Pod, in 9 KB of
// JSON. It reads the request by its path from the root of the repository, where benchmarks run.
func Request() (json.RawMessage, error) {
	content, err := os.ReadFile("test/policies/testdata/pod-create-9k.json")
	if err != nil {
		return nil, fmt.Errorf("run this from the root of the repository: %w", err)
	}
	return content, nil
}
