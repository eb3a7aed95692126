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

package engine_test

import (
	"os"
	"testing"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// TestMain lets the tests' binary compile in child processes, like a program does, unless the
// environment tells it not to.
func TestMain(m *testing.M) {
	if os.Getenv(undeclaredVariable) == "" {
		engine.ServeCompilations()
	}
	os.Exit(m.Run())
}
