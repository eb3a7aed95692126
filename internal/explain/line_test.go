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

package explain_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/explain"
)

// kubectl quotes the reason of a health check, which turns line breaks into "\n".
func TestInOneLine(t *testing.T) {
	one, two := errors.New("a: wrong"), errors.New("a: wrong\nb: wrong")
	for want, err := range map[string]error{
		"a: wrong":                               one,
		"since then: a: wrong":                   fmt.Errorf("since then: %w", one),
		"2 problems: (1) a: wrong; (2) b: wrong": two,
		"since then: 2 problems: (1) a: wrong; (2) b: wrong": fmt.Errorf("since then: %w", two),
		"x: y: 2 problems: (1) a: wrong; (2) b: wrong": fmt.Errorf("x: %w",
			fmt.Errorf("y: %w", two)),
		"3 problems: (1) a: wrong; (2) b: wrong; (3) c": errors.Join(two, errors.New("\n c")),
		"x y: 2 problems: (1) a: wrong; (2) b: wrong":   fmt.Errorf("x\ny: %w", two),
		"2 problems: (1) a: wrong; (2) b":               fmt.Errorf("%w\nb", one),
	} {
		require.EqualError(t, explain.InOneLine(err), want)
	}
	require.NoError(t, explain.InOneLine(nil))
	require.ErrorIs(t, explain.InOneLine(errors.Join(one, fs.ErrNotExist)), fs.ErrNotExist)
}
