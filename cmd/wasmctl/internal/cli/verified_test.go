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
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
)

// An unverified module is not written anywhere.
func TestPullVerifies(t *testing.T) {
	s := newSigned(t)
	for _, uri := range []string{s.old, s.bundled} {
		s.refuses(cli.ExitProblem, "no signature meets", "pull", "-k", s.foreignFile, uri)
		require.NoFileExists(t, s.stored(strings.Replace(uri, "://", "/", 1)))
		s.does("pull", "-k", s.keyFile, uri)
		require.FileExists(t, s.stored(strings.Replace(uri, "://", "/", 1)))
	}
	out := filepath.Join(t.TempDir(), "policy.wasm")
	s.refuses(cli.ExitProblem, "no signature meets", "pull", "-k", s.keyFile, "-o", out, s.bare)
	require.NoFileExists(t, out)
	s.does("pull", "-k", s.keyFile, "-o", out, s.old)
	require.FileExists(t, out)
}

// A module in the store is verified as well. Its source must confirm it.
func TestTheStoreIsVerified(t *testing.T) {
	s := newSigned(t)
	for _, uri := range []string{s.old, s.bare} {
		s.does("pull", uri)
	}
	digest := strings.TrimPrefix(engine.Digest(s.policy), "sha256:")
	s.refuses(cli.ExitProblem, "is the beginning of the digests of both", "verify", "-k", s.keyFile,
		digest[:12])
	for _, command := range [][]string{{"run", "-r", request}, {"pull"}, {"verify"}} {
		s.refuses(cli.ExitProblem, "no signature meets",
			append(command, "-k", s.keyFile, s.bare)...)
		s.does(append(command, "-k", s.keyFile, s.old)...)
	}
	// The beginning of its digest and its path name the pulled module.
	s.does("rm", s.bare)
	for _, name := range []string{digest[:12], s.stored("registry/" + s.host + "/old:v1")} {
		require.Contains(t, s.does("run", "-r", request, "-k", s.keyFile, name), `"allowed":false`)
		s.refuses(cli.ExitProblem, "no signature meets", "run", "-r", request, "-k", s.foreignFile,
			name)
	}
	s.does("verify", "-k", s.keyFile, digest[:12])

	tampered := append(bytes.Clone(s.policy), 0, 1, 0) // a custom section
	require.NoError(t, os.WriteFile(s.stored("registry/"+s.host+"/old:v1"), tampered, 0o600))
	for _, command := range [][]string{{"run", "-r", request}, {"pull"}} {
		got := s.call(append(command, "-k", s.keyFile, s.old)...)
		require.Equal(t, cli.ExitProblem, got.code)
		require.Contains(t, got.err,
			"the store of policies differs from the source: remove it with the command rm, and pull it again")
		require.Empty(t, got.out)
	}
}

// A verified module is verified again without a registry, with the kept evidence.
func TestVerifiedPoliciesRunOffline(t *testing.T) {
	s := newSigned(t)
	s.does("pull", "-k", s.keyFile, s.old)
	s.does("pull", s.bundled)
	s.registry.Stop()
	got := s.call("run", "-r", request, "-k", s.keyFile, s.old)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err, verified)
	s.refuses(cli.ExitProblem, "connection refused", "run", "-r", request, "-k", s.keyFile,
		s.bundled)
	// Only the registry can tell whether it is signed.
	s.refuses(cli.ExitProblem, "connection refused", "verify", "-k", s.keyFile, s.old)
}

// All policies in a file of manifests are verified.
func TestManifestsAreVerified(t *testing.T) {
	s := newSigned(t)
	good := file(t, "policies.yaml", manifest("one", s.old)+manifest("two", s.bundled))
	require.Equal(t, 2,
		strings.Count(s.does("run", "-r", request, "-k", s.keyFile, good), `"allowed":false`))
	got := s.call("run", "-r", request, "-k", s.keyFile,
		file(t, "policies.yaml", manifest("one", s.old)+manifest("two", s.bare)))
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "no signature meets")
	require.Empty(t, got.out)
}

// The signatures of the real cosign are verified and shown, in all its formats.
func TestWhatCosignSigns(t *testing.T) {
	c := cosign.New(t)
	s := newSigned(t)
	for _, kind := range []string{"p256", "ed25519"} {
		c.Key(kind, kind)
		reference := s.host + "/bare@" + s.manifest
		c.Sign(kind, reference, kind == "p256", "-a", "env="+kind)
		s.does("verify", "-k", c.Path(kind+".pub"), "-a", "env="+kind, s.bare)
		require.Regexp(t, "Annotation: +env="+kind, s.does("inspect", "--show-signatures", s.bare))
		c.Write("policy.wasm", s.policy)
		c.SignFile(kind, "policy.wasm")
		s.does("verify", "-k", c.Path(kind+".pub"), c.Path("policy.wasm"))
		s.refuses(cli.ExitProblem, "no signature meets", "verify", "-k", s.keyFile,
			c.Path("policy.wasm"))
	}
	s.does("verify", "-k", c.Path("p256.pub"), "-k", c.Path("ed25519.pub"), s.bare)
}

// The bundle of a module on a web server is beside it.
func TestVerifyFromServers(t *testing.T) {
	s := newSigned(t)
	bundle := s.key.FileBundle(t, s.policy)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/signed.wasm", "/bare.wasm":
			_, _ = w.Write(s.policy)
		case "/signed.wasm.sigstore.json":
			_, _ = w.Write(bundle)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s.configure("sources.yaml", "insecure_sources: ['"+strings.TrimPrefix(server.URL, "http://")+
		"']")
	s.does("verify", "-k", s.keyFile, server.URL+"/signed.wasm")
	s.does("pull", "-k", s.keyFile, server.URL+"/signed.wasm")
	require.Contains(t, s.does("run", "-r", request, "-k", s.keyFile, server.URL+"/signed.wasm"),
		`"allowed":false`)
	s.refuses(cli.ExitProblem, "looked for bare.wasm.sigstore.json", "pull", "-k", s.keyFile,
		server.URL+"/bare.wasm")
}

// Manifests and measurements are made only for verified modules.
func TestManifestsAreMadeOfWhatIsVerified(t *testing.T) {
	s := newSigned(t)
	scaffold := []string{"scaffold", "manifest", "-t", "ClusterAdmissionPolicy", "-k", s.keyFile}
	require.Contains(t, s.does(append(scaffold, s.old)...), "module: "+s.old+"\n")
	measure := []string{
		"bench", "--warm-up-time", "1ms", "--measurement-time", "1ms", "--num-samples", "2",
		"--num-resamples", "2", "-r", request, "-k", s.keyFile,
	}
	require.Contains(t, s.does(append(measure, s.old)...), "time:")
	for _, command := range [][]string{scaffold, measure} {
		s.refuses(cli.ExitProblem, "no signature meets", append(command, s.bare)...)
	}
}
