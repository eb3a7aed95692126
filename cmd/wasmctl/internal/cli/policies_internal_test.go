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
	"testing"

	"github.com/stretchr/testify/require"
)

// Sizes have kwctl's format.
func TestSize(t *testing.T) {
	for bytes, want := range map[int]string{
		0: "0 B", 8: "8 B", 999: "999 B", 1000: "1 kB", 224628: "224.63 kB", 1_500_000: "1.5 MB",
		21_004_999: "21 MB", 1 << 30: "1.07 GB",
	} {
		require.Equal(t, want, size(bytes))
	}
}
