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

package capabilities

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each path is a pattern that grants itself. The tree has no other leaves.
func TestPaths(t *testing.T) {
	require.Equal(t, []string{
		"crypto/v1/is_certificate_trusted",
		"kubernetes/can_i", "kubernetes/get_resource", "kubernetes/list_resources_all",
		"kubernetes/list_resources_by_namespace",
		"net/v1/dns_lookup_host",
		"oci/v1/manifest_digest", "oci/v1/oci_manifest", "oci/v1/oci_manifest_config",
		"oci/v1/verify", "oci/v2/verify",
	}, Paths())
	for _, path := range Paths() {
		pattern, err := ParsePattern(path)
		require.NoError(t, err)
		require.True(t, pattern.Matches(path))
	}
}
