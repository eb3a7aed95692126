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

package sigstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/proof"
)

func TestErrorsAreClear(t *testing.T) {
	plain := errors.New("plain")
	require.Equal(t, plain, clearer(plain))
	mismatch := fmt.Errorf("log: %w",
		proof.RootMismatchError{ExpectedRoot: []byte{1}, CalculatedRoot: []byte{2}})
	require.ErrorIs(t, clearer(mismatch), mismatch)
	require.EqualError(t, clearer(mismatch),
		"the log does not prove that it contains this signature of this content by this certificate or key")
	var none error
	require.EqualError(t, clearer(fmt.Errorf("0 < 1; error: %w", none)), "0 < 1: there is none")
	require.EqualError(t, clearer(errors.New("not enough verified log entries: 0 < 1")),
		"not enough verified log entries: 0 < 1: its entry or timestamp is missing, not genuine, or from another Sigstore instance than the trust root")
}
