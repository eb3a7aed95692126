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
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const examplePublicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAECXMvPdapaVBoJWNgegy5r9pQAoSZ
f+YhgzLdlUmDoSi9mV7kflVutVJA0Ja7EOV9U6RUDI/vX2AfCvuCCYVrZg==
-----END PUBLIC KEY-----
`

func TestDigest(t *testing.T) {
	u := newUser(t)
	digest := u.registry.Push(t, "policies/one", "v1", u.policy)
	for argument, want := range map[string]string{
		"registry://" + u.host + "/policies/one:v1": "registry://" + u.host +
			"/policies/one:v1@" + digest,
		u.host + "/policies/one:v1": u.host + "/policies/one:v1@" + digest,
		"registry://" + u.host + "/policies/one@" + digest: "registry://" + u.host +
			"/policies/one@" + digest,
	} {
		require.Equal(t, want+"\n", u.does("digest", argument))
	}
	path, err := filepath.Abs(privileged + "policy.wasm")
	require.NoError(t, err)
	want := "file://" + path + "@" + engine.Digest(u.policy) + "\n"
	require.Equal(t, want, u.does("digest", privileged+"policy.wasm"))
	require.Equal(t, want, u.does("digest", "file://"+path))

	u.refuses(cli.ExitUsage, "POLICY is missing", "digest")
	u.refuses(cli.ExitProblem, "check the host, the name, and the tag", "digest",
		u.host+"/policies/one:v2")
	u.refuses(cli.ExitProblem, "does not begin with registry://", "digest",
		"https://example.com/policy.wasm?token=secret")
	require.NotContains(t, u.call("digest", "https://example.com/policy.wasm?token=secret").err,
		"secret")
	u.refuses(cli.ExitProblem, "no such file", "digest", "file:///none.wasm")
	u.refuses(cli.ExitProblem, "digest", "digest", u.host+"/policies/one@sha256:00")
}

// An argument that can only be a path is not looked up as a host.
func TestPathsAreNoHosts(t *testing.T) {
	u := newUser(t)
	key := filepath.Join(t.TempDir(), "key.pub")
	require.NoError(t, os.WriteFile(key, []byte(examplePublicKey), 0o600))
	for _, path := range []string{"none.wasm", "./none.wasm", "../none.wasm", "/none/none.wasm"} {
		u.refuses(cli.ExitProblem, "there is no file "+path+": give a path or a URI", "digest",
			path)
		u.refuses(cli.ExitProblem, "there is no file "+path+": give a path or a URI", "verify",
			"-k", key, path)
	}
}
