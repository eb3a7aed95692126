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

package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInfo(t *testing.T) {
	u := newUser(t)
	out := u.does("info")
	require.Regexp(t, `(?m)^wasmctl version: +\S+, commit \S+$`, out)
	require.Regexp(t, `(?m)^Policy store: +`+filepath.Join(u.cache, "kubewarden", "store")+`$`, out)
	require.Regexp(t, `(?m)^Config directory: +`+filepath.Join(u.config, "kubewarden")+`$`, out)
	require.Regexp(t, `(?m)^Cache directory: +`+filepath.Join(u.cache, "wasmctl")+`$`, out)
}
