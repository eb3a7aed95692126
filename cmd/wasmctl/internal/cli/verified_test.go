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

// What is not verified is written nowhere.
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

// What is in the store is verified as well, and its source has to vouch for it.
func TestTheStoreIsVerified(t *testing.T) {
	s := newSigned(t)
	for _, uri := range []string{s.old, s.bare} {
		s.does("pull", uri)
	}
	digest := strings.TrimPrefix(engine.Digest(s.policy), "sha256:")
	s.refuses(cli.ExitProblem, "begins the digests of", "verify", "-k", s.keyFile, digest[:12])
	for _, command := range [][]string{{"run", "-r", request}, {"pull"}, {"verify"}} {
		s.refuses(cli.ExitProblem, "no signature meets", append(command, "-k", s.keyFile, s.bare)...)
		s.does(append(command, "-k", s.keyFile, s.old)...)
	}
	// By the beginning of its digest, and by its path, it is what was pulled.
	s.does("rm", s.bare)
	for _, name := range []string{digest[:12], s.stored("registry/" + s.host + "/old:v1")} {
		require.Contains(t, s.does("run", "-r", request, "-k", s.keyFile, name), `"allowed":false`)
		s.refuses(cli.ExitProblem, "no signature meets", "run", "-r", request, "-k", s.foreignFile, name)
	}
	s.does("verify", "-k", s.keyFile, digest[:12])

	tampered := append(bytes.Clone(s.policy), 0, 1, 0) // a custom section
	require.NoError(t, os.WriteFile(s.stored("registry/"+s.host+"/old:v1"), tampered, 0o600))
	for _, command := range [][]string{{"run", "-r", request}, {"pull"}} {
		got := s.call(append(command, "-k", s.keyFile, s.old)...)
		require.Equal(t, cli.ExitProblem, got.code)
		require.Contains(t, got.err, "the store of policies has something else than its source: remove it with the command rm, and pull it again")
		require.Empty(t, got.out)
	}
}

// What was verified once is verified again without a registry, by what it was verified by.
func TestVerifiedPoliciesRunOffline(t *testing.T) {
	s := newSigned(t)
	s.does("pull", "-k", s.keyFile, s.old)
	s.does("pull", s.bundled)
	s.registry.Stop()
	got := s.call("run", "-r", request, "-k", s.keyFile, s.old)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err, verified)
	s.refuses(cli.ExitProblem, "connection refused", "run", "-r", request, "-k", s.keyFile, s.bundled)
	// Whether it is signed is for the registry to say.
	s.refuses(cli.ExitProblem, "connection refused", "verify", "-k", s.keyFile, s.old)
}

// The policies of a file of manifests are verified, all of them.
func TestManifestsAreVerified(t *testing.T) {
	s := newSigned(t)
	good := file(t, "policies.yaml", manifest("one", s.old)+manifest("two", s.bundled))
	require.Equal(t, 2, strings.Count(s.does("run", "-r", request, "-k", s.keyFile, good), `"allowed":false`))
	got := s.call("run", "-r", request, "-k", s.keyFile, file(t, "policies.yaml", manifest("one", s.old)+manifest("two", s.bare)))
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "no signature meets")
	require.Empty(t, got.out)
}

// What the real cosign signs is verified and shown, in all its ways.
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
		s.refuses(cli.ExitProblem, "no signature meets", "verify", "-k", s.keyFile, c.Path("policy.wasm"))
	}
	s.does("verify", "-k", c.Path("p256.pub"), "-k", c.Path("ed25519.pub"), s.bare)
}

// A module on a web server has its bundle beside it.
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
	s.configure("sources.yaml", "insecure_sources: ['"+strings.TrimPrefix(server.URL, "http://")+"']")
	s.does("verify", "-k", s.keyFile, server.URL+"/signed.wasm")
	s.does("pull", "-k", s.keyFile, server.URL+"/signed.wasm")
	require.Contains(t, s.does("run", "-r", request, "-k", s.keyFile, server.URL+"/signed.wasm"), `"allowed":false`)
	s.refuses(cli.ExitProblem, "looked for bare.wasm.sigstore.json", "pull", "-k", s.keyFile, server.URL+"/bare.wasm")
}

// A manifest is made of what was verified, or not at all; so is a measurement.
func TestManifestsAreMadeOfWhatIsVerified(t *testing.T) {
	s := newSigned(t)
	scaffold := []string{"scaffold", "manifest", "-t", "ClusterAdmissionPolicy", "-k", s.keyFile}
	require.Contains(t, s.does(append(scaffold, s.old)...), "module: "+s.old+"\n")
	measure := []string{"bench", "--warm-up-time", "1ms", "--measurement-time", "1ms", "--num-samples", "2", "--num-resamples", "2", "-r", request, "-k", s.keyFile}
	require.Contains(t, s.does(append(measure, s.old)...), "time:")
	for _, command := range [][]string{scaffold, measure} {
		s.refuses(cli.ExitProblem, "no signature meets", append(command, s.bare)...)
	}
}
