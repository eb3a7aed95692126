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
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// kubectl prints the reason quoted: there the ends of lines are "\n".
func TestReasonsInOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a: wrong":           "since then: a: wrong",
		"a: wrong\nb: wrong": "since then: 2 problems: (1) a: wrong; (2) b: wrong",
	} {
		require.EqualError(t, inOneLine(fmt.Errorf("since then: %w", errors.New(text))), want)
	}
	require.NoError(t, inOneLine(nil))
}
