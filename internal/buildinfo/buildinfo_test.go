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

package buildinfo

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestString(t *testing.T) {
	require.Regexp(t, `^\S+, commit \S+$`, String(), "a test is not linked by make")
	defer func(version, commit string) {
		gitVersion, gitCommit = version, commit
	}(gitVersion, gitCommit)
	gitVersion, gitCommit = "v1.2.3", "abc-clean"
	require.Equal(t, "v1.2.3, commit abc-clean", String())
}
