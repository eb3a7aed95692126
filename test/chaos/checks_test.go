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

package chaos

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// unenforced returns the number of violating writes that were admitted. It counts stored objects
// and positive responses, and returns the larger number.
func (c *cluster) unenforced(t *testing.T) int {
	t.Helper()
	violating, err := hammer.Violating(t.Context(), c.server.Dynamic())
	require.NoError(t, err)
	return max(violating, int(c.hammer.Admitted()))
}

// requireControl checks that the server admits complying writes.
func (c *cluster) requireControl(t *testing.T) {
	t.Helper()
	hammer.Eventually(t, "complying writes are admitted", func() error {
		var refused []error
		for _, object := range hammer.Complying() {
			refused = append(refused, c.comply(t.Context(), object))
		}
		return errors.Join(refused...)
	})
}

// comply creates an object and deletes it again.
func (c *cluster) comply(ctx context.Context, object hammer.Object) error {
	ctx, cancel := context.WithTimeout(ctx, hammer.AnswerTimeout)
	defer cancel()
	return hammer.Comply(ctx, c.server.Dynamic(), object)
}
