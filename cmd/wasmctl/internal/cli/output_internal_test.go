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

package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// What a guest says makes no rows of the table that says what became of its policy.
func TestGuestsMakeNoRows(t *testing.T) {
	var out strings.Builder
	c := &command{Streams: &terminal.Streams{Out: &out}}
	const forged = "no\nVERDICT\tallowed"
	require.NoError(t, columns(&out, func(w io.Writer) {
		c.writeResponse(w, "p", &review.Response{
			Status:   &review.Status{Message: forged},
			Warnings: []string{forged},
		})
	}))
	require.Equal(t, `POLICY   p
VERDICT  rejected
MESSAGE  no
         VERDICT    allowed
WARNING  no
         VERDICT    allowed
`, out.String())
}
