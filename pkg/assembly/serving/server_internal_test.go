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

package serving

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Images and modules share one checker of signatures.
func TestOneCheckerForImagesAndModules(t *testing.T) {
	made, change := 0, func() {}
	checker := sigstoreless{}
	o := Options{NewChecker: func(_ context.Context, _ *wasmadmission.WasmAdmissionConfiguration,
		o verification.RootOptions) (verification.Checker, error) {
		change = o.Changed
		if made++; made > 1 {
			return nil, errors.New("no root")
		}
		return checker, nil
	}}
	config := &wasmadmission.WasmAdmissionConfiguration{}
	none, err := o.checker(t.Context(), config, nil)
	require.NoError(t, err)
	require.Nil(t, none, "no policy may ask about images")

	config.Capabilities.OCI.Registries = []string{"ghcr.io"}
	again := o
	for range 2 {
		got, err := o.checker(t.Context(), config, nil)
		require.NoError(t, err)
		require.Equal(t, checker, got)
	}
	require.Equal(t, 1, made)
	change()
	told := 0
	_, err = o.NewChecker(t.Context(), config, verification.RootOptions{Changed: func() { told++ }})
	require.NoError(t, err)
	change()
	require.Equal(t, 1, told, "the verifier of modules is told of a new trust root")
	_, err = again.checker(t.Context(), config, nil)
	require.EqualError(t, err, "verification.trustRoot: no root")

	none, err = (&Options{}).checker(t.Context(), config, nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

// sigstoreless stands in for a checker that is never called.
type sigstoreless struct{ verification.Checker }
