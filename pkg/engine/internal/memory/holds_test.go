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

package memory

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A memory holds an image if content and size are equal, including zeros at the end.
func TestHolds(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			for name, start := range starts() {
				if name == "no length" || name == "as the limit" {
					continue
				}
				img := newImage(t, start)
				r := w.attached(t, testLimit, img)
				require.True(t, r.Holds(img), name)
				for _, at := range []uint64{0, r.size / 2, r.size - 1} {
					content(r)[at]++
					require.False(t, r.Holds(img), name)
					content(r)[at]--
				}
				require.True(t, r.Holds(img), name)
				require.NotNil(t, r.Reallocate(r.size+PageSize))
				require.False(t, r.Holds(img), name)
				require.NoError(t, r.Close())
				require.False(t, r.Holds(img), name)
			}
		})
	}
}
