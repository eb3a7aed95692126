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

package border

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClone(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, portion - 1, portion, portion + 1, 2 * portion, 3*portion + 7} {
		p := make([]byte, size)
		_, _ = random.Read(p)
		c := Clone(p)
		require.Equal(t, p, c)
		if size > 0 {
			c[0]++
			require.NotEqual(t, p[0], c[0])
		}
	}
}
