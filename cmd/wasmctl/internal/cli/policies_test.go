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
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func TestPolicies(t *testing.T) {
	u := newUser(t)
	require.Empty(t, u.does("policies"), "as kwctl has it")
	bare := []byte("\x00asm\x01\x00\x00\x00")
	mutating, err := os.ReadFile(policies + "always-pull/policy.wasm")
	require.NoError(t, err)
	for name, binary := range map[string][]byte{"one": u.policy, "two": mutating, "three": bare} {
		u.registry.Push(t, name, "v1", binary)
		u.does("pull", u.host+"/"+name+":v1")
	}
	lines := strings.Split(u.does("policies"), "\n")
	require.Len(t, lines, 8)
	require.Regexp(t, `^\+-+\+-+\+-+\+-+\+-+\+$`, lines[0])
	require.Regexp(t, `^\| Policy +\| Mutating \| Context aware \| SHA-256 +\| Size +\|$`, lines[1])
	require.Regexp(t, `^\| registry://`+u.host+`/one:v1 +\| no +\| no +\| `+
		engine.Digest(u.policy)[7:19]+` \| [0-9.]+ kB +\|$`, lines[3])
	require.Regexp(t, `/three:v1 +\| unknown +\| no +\| `+engine.Digest(bare)[7:19]+` \| 8 B +\|$`,
		lines[4])
	require.Regexp(t, `/two:v1 +\| yes +\| no `, lines[5])
	u.refuses(cli.ExitUsage, `unknown command "all"`, "policies", "all")
}

// rm removes all files of a policy, and no others.
func TestRm(t *testing.T) {
	u := newUser(t)
	uri := "registry://" + u.host + "/policies/one:v1"
	u.registry.Push(t, "policies/one", "v1", u.policy)
	for _, policy := range []string{
		uri, strings.TrimPrefix(engine.Digest(u.policy), "sha256:")[:4],
	} {
		u.does("pull", uri)
		require.Empty(t, u.does("rm", policy))
		require.Empty(t, u.does("policies"))
		require.NoDirExists(t, u.stored("registry"))
	}
	u.refuses(cli.ExitUsage, "POLICY is missing", "rm")
	u.refuses(cli.ExitProblem, "Cannot find policy '"+uri+"'", "rm", uri)
	u.refuses(cli.ExitProblem, "Cannot find policy 'non-existing'", "rm", "non-existing")
	u.refuses(cli.ExitProblem, "no place for it", "rm",
		"https://example.com/../../../a?token=secret")
	require.NotContains(t, u.call("rm", "https://example.com/a?token=secret").err, "secret")
	u.does("pull", uri)
	u.registry.Push(t, "policies/two", "v1", u.policy)
	u.does("pull", u.host+"/policies/two:v1")
	u.refuses(cli.ExitProblem, "is the beginning of the digests of both", "rm",
		engine.Digest(u.policy)[7:19])
	u.does("rm", uri)
	require.FileExists(t, u.stored("registry/"+u.host+"/policies/two:v1"))
}
