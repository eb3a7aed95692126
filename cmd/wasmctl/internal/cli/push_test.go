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
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// A policy can be pushed from a file, and from the store by its URI and by its digest. The result
// is always the same.
func TestPush(t *testing.T) {
	u := newUser(t)
	to := u.host + "/pushed/one:v1"
	out := u.does("push", privileged+"policy.wasm", "registry://"+to)
	reference, ok := strings.CutPrefix(out, "Policy successfully pushed: ")
	require.True(t, ok, out)
	reference = strings.TrimSpace(reference)
	require.Regexp(t, "^"+u.host+"/pushed/one@sha256:[0-9a-f]{64}$", reference)
	_, body, err := u.registry.Repository(t, "pushed/one").FetchReference(t.Context(), "v1")
	require.NoError(t, err)
	manifest, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.True(t, strings.HasSuffix(reference, "@"+engine.Digest(manifest)))
	require.Contains(t, string(manifest),
		`"annotations":{"io.kubewarden.policy.category":"Pod Security",`)
	require.NotContains(t, string(manifest), "mediaType\":\"application/vnd.oci.image.manifest")

	u.does("pull", to)
	digest := strings.TrimPrefix(engine.Digest(u.policy), "sha256:")[:12]
	for _, policy := range []string{"registry://" + to, digest} {
		var got map[string]string
		require.NoError(t, json.Unmarshal([]byte(u.does("push", "-o", "json", policy, to)), &got))
		require.Equal(t, map[string]string{"immutable_ref": reference}, got)
	}
	u.does("push", privileged+"policy.wasm", u.host+"/pushed/two")
	require.Contains(t,
		u.does("run", "-r", privileged+"testdata/pod-create-privileged.json",
			"registry://"+u.host+"/pushed/two:latest"), `"allowed":false`)
}

// A policy without metadata can be pushed by force, except in Rego: without metadata, nobody would
// know its execution mode.
func TestPushWithoutMetadata(t *testing.T) {
	u := newUser(t)
	bare := file(t, "bare.wasm", "\x00asm\x01\x00\x00\x00")
	u.refuses(cli.ExitProblem, "Cannot push a policy that is not annotated", "push", bare,
		u.host+"/bare:v1")
	got := u.call("push", "--force", bare, u.host+"/bare:v1")
	require.Equal(t, cli.ExitOK, got.code)
	require.Contains(t, got.err, "Warning: pushing a non-annotated policy!")
	require.Contains(t, got.out, "Policy successfully pushed: "+u.host+"/bare@sha256:")
	u.refuses(cli.ExitProblem, "Rego policies cannot be pushed without metadata", "push", "-f",
		"../../../../pkg/abi/rego/testdata/guest.wasm", u.host+"/bare:v1")
}

func TestPushRefuses(t *testing.T) {
	u := newUser(t)
	policy := privileged + "policy.wasm"
	u.refuses(cli.ExitUsage, "POLICY is missing: name the path of a module", "push")
	u.refuses(cli.ExitUsage, "URI is missing: name where it goes", "push", policy)
	u.refuses(cli.ExitUsage, "but there is also", "push", policy, u.host+"/a:v1", u.host+"/b:v1")
	u.refuses(cli.ExitUsage, "there is no format", "push", "-o", "yaml", policy, u.host+"/a:v1")
	u.refuses(cli.ExitProblem, "there is no file none.wasm", "push", "none.wasm", u.host+"/a:v1")
	u.refuses(cli.ExitProblem, "Cannot find policy 'registry://"+u.host+"/none:v1'", "push",
		"registry://"+u.host+"/none:v1", u.host+"/a:v1")
	u.refuses(cli.ExitProblem, "name a tag", "push", policy,
		u.host+"/a@sha256:"+strings.Repeat("0", 64))
	u.refuses(cli.ExitProblem, "write registry://host/repository:tag", "push", policy, "policy")
	u.refuses(cli.ExitProblem, "does not begin with registry://", "push", policy,
		"https://example.com/policy.wasm")
	u.refuses(cli.ExitProblem, "at most 1024 are allowed", "push", "--module-size", "1Ki", policy,
		u.host+"/a:v1")
	u.refuses(cli.ExitProblem, "magic", "push", policies+"pod-privileged/metadata.yml",
		u.host+"/a:v1")
}

// Credentials come from docker login. No message shows them.
func TestPushWithCredentials(t *testing.T) {
	u := newUser(t)
	r := registry.Start(t, registry.Options{TLS: true, Username: "alice", Password: "hunter2"})
	u.configure("sources.yaml", "source_authorities: {'"+r.Host+"': [{type: Path, path: "+r.CA+
		"}]}")
	policy := privileged + "policy.wasm"
	u.refuses(cli.ExitProblem, "credentials are required", "push", policy, r.Host+"/a:v1")
	docker := t.TempDir()
	login := func(password string) {
		auth := base64.StdEncoding.EncodeToString([]byte("alice:" + password))
		require.NoError(t,
			os.WriteFile(filepath.Join(docker, "config.json"),
				[]byte(`{"auths":{"`+r.Host+`":{"auth":"`+auth+`"}}}`), 0o600))
	}
	login("wrong-one")
	got := u.call("push", "-v", "--docker-config-json-path", docker, policy, r.Host+"/a:v1")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "docker login")
	require.NotContains(t, got.err, "wrong-one")
	login("hunter2")
	u.does("push", "--docker-config-json-path", docker, policy, r.Host+"/a:v1")
}
