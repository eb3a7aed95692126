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

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/webhookparity"
)

// This is a sample of the cases of `make mutation-parity`.
func TestMutationMatchesWebhooks(t *testing.T) {
	directory := modules(t)
	configuration, err := webhookparity.Configuration(directory)
	require.NoError(t, err)
	server := harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: configuration})
	comparison, err := webhookparity.New(t.Context(), server, directory)
	require.NoError(t, err)
	defer func() { require.NoError(t, comparison.Close()) }()
	for n, c := range webhookparity.Cases() {
		if n%4 != 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			difference, err := comparison.Run(t.Context(), c)
			require.NoError(t, err)
			require.Empty(t, difference)
		})
	}
}
