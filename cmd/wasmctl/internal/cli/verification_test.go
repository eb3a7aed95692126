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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

const (
	verified = "Policy successfully verified"
	request  = privileged + "testdata/pod-create-privileged.json"
)

// signed is a user whose registry has policies. One key has signed two of them, one in each format.
type signed struct {
	*user
	key, foreign *signing.Key
	// old, bundled and bare are URIs. manifest is the digest that all of them have.
	old, bundled, bare string
	manifest           string
	// keyFile and foreignFile are the files of the keys.
	keyFile, foreignFile string
}

func newSigned(t *testing.T) *signed {
	t.Helper()
	s := &signed{user: newUser(t), key: signing.NewKey(t), foreign: signing.NewKey(t)}
	prod := map[string]string{"env": "prod"}
	s.manifest = s.registry.Push(t, "old", "v1", s.policy)
	s.registry.PushSignatures(t, "old", s.manifest, s.key.Layer(t, s.manifest, prod))
	s.registry.Push(t, "bundled", "v1", s.policy)
	s.registry.PushReferrer(t, "bundled", s.manifest, registry.BundleMediaType,
		s.key.Bundle(t, s.manifest, prod))
	s.registry.Push(t, "bare", "v1", s.policy)
	s.old, s.bundled, s.bare = "registry://"+s.host+"/old:v1", "registry://"+s.host+"/bundled:v1",
		"registry://"+s.host+"/bare:v1"
	s.keyFile, s.foreignFile = file(t, "cosign.pub", s.key.PEM),
		file(t, "foreign.pub", s.foreign.PEM)
	return s
}

func TestVerifyByKeys(t *testing.T) {
	s := newSigned(t)
	for _, uri := range []string{s.old, s.bundled, strings.TrimPrefix(s.old, "registry://")} {
		for _, more := range [][]string{nil, {"-a", "env=prod"}} {
			got := s.call(append([]string{"verify", "-k", s.keyFile, uri}, more...)...)
			require.Equal(t, cli.ExitOK, got.code, got.err)
			require.Contains(t, got.err, verified)
			require.Contains(t, got.err, s.manifest)
			require.Empty(t, got.out)
		}
		s.refuses(cli.ExitProblem,
			s.manifest+": no signature meets allOf[0] of the verification flags: key sha256:",
			"verify", "-k", s.foreignFile, uri)
		s.refuses(cli.ExitProblem, `wants annotation "env" to be "test", not "prod"`, "verify",
			"-k", s.keyFile, "-a", "env=test", uri)
		s.refuses(cli.ExitProblem, `wants annotation "stable", which the signature does not cover`,
			"verify", "-k", s.keyFile, "-a", "env=prod", "-a", "stable=true", uri)
		// All of them must have signed.
		s.refuses(cli.ExitProblem, "no signature meets allOf[1] of the verification flags",
			"verify", "-k", s.keyFile, "-k", s.foreignFile, uri)
	}
	s.refuses(cli.ExitProblem, "none was found at all; looked for the tag sha256-", "verify", "-k",
		s.keyFile, s.bare)
	s.refuses(cli.ExitProblem, "check the host, the name, and the tag", "verify", "-k", s.keyFile,
		s.host+"/none:v1")
}

// Scripts depend on kwctl's output and exit codes.
func TestVerifyAsKwctl(t *testing.T) {
	s := newSigned(t)
	asKwctl := func(arguments ...string) result {
		s.call() // sets the environment
		return callAs(t, "kwctl", arguments...)
	}
	got := asKwctl("verify", "-k", s.foreignFile, s.old)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "Image verification failed: missing signatures: "+s.manifest+
		": no signature meets")
	for text, arguments := range map[string][]string{
		"could not retrieve sigstore options":                             {},
		"Intending to verify annotations, but no verification keys, OIDC": {"-a", "env=prod"},
		"the repository owner is missing.": {"--github-repo",
			"policies"},
		"You must pass the email and OIDC issuer to be validated": {"--cert-email",
			"ann@example.com"},
		"cannot be used in conjunction with other verification flags": {"-k", s.keyFile,
			"--verification-config-path", "x"},
		"no such file or directory": {"-k", "none.pub"},
	} {
		got := asKwctl(append([]string{"verify", s.old}, arguments...)...)
		require.Equal(t, cli.ExitProblem, got.code, text)
		require.Contains(t, got.err, text)
	}
}

func TestVerificationFlagsThatAreWrong(t *testing.T) {
	s := newSigned(t)
	private := file(t, "cosign.key",
		"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
	for name, test := range map[string]struct {
		err       string
		arguments []string
	}{
		"nothing": {"could not retrieve sigstore options: say who must have signed, with --verification-key",
			nil},
		"annotation alone": {"Intending to verify annotations, but no verification keys",
			[]string{"-a", "env=prod"}},
		"no annotation": {`--verification-annotation: "env" is not an annotation: write key=value`,
			[]string{"-k", s.keyFile, "-a", "env"}},
		"repository alone": {"the repository owner is missing",
			[]string{"--github-repo", "policies"}},
		"empty repository": {"--github-repo: is empty",
			[]string{"--github-owner", "kubewarden", "--github-repo", ""}},
		"owner with a slash": {`--github-owner: owner: "kubewarden/policies" is not a GitHub account`,
			[]string{"--github-owner", "kubewarden/policies"}},
		"e-mail alone": {"You must pass the email and OIDC issuer",
			[]string{"--cert-email", "ann@example.com"}},
		"issuer alone": {"You must pass the email and OIDC issuer",
			[]string{"--cert-oidc-issuer", "https://example.com"}},
		"empty e-mail": {"--cert-email, --cert-oidc-issuer: subject: must have exactly one of",
			[]string{"--cert-email", "", "--cert-oidc-issuer", "https://example.com"}},
		"two owners": {"--github-owner: occurs 2 times: write it once",
			[]string{"--github-owner", "a", "--github-owner", "b"}},
		"config and flags": {"cannot be used in conjunction with other verification flags",
			[]string{"-k", s.keyFile, "--verification-config-path", "x"}},
		"private key": {"is a private key, which everybody who reads",
			[]string{"-k", private}},
		"no key": {"is not in PEM", []string{"-k", request}},
		"trust root for nothing": {"nothing says who must have signed",
			[]string{
				"--sigstore-trust-config",
				file(t, "root.json", string(keyless.New(t).TrustedRoot(t))),
			}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"verify", "pull"} {
				if name == "nothing" && command == "pull" {
					continue
				}
				s.refuses(cli.ExitUsage, test.err,
					append([]string{command, s.bare}, test.arguments...)...)
			}
		})
	}
	s.refuses(cli.ExitProblem,
		"--verification-key: could not read file: open none.pub: no such file or directory",
		"verify", "-k", "none.pub", s.old)
	s.refuses(cli.ExitProblem, "--sigstore-trust-config: open none.json: no such file or directory",
		"run", "-r", request, "--sigstore-trust-config", "none.json", s.old)
	s.refuses(cli.ExitProblem, "the trust root is not JSON", "run", "-r", request,
		"--sigstore-trust-config", s.keyFile, s.old)
}

// A config from a flag, or in kwctl's place, has the same effect as the flags.
func TestVerificationConfig(t *testing.T) {
	s := newSigned(t)
	config := file(t, "verification.yml", s.key.Config(`"env": "prod"`))
	s.does("verify", "--verification-config-path", config, s.old)
	s.refuses(cli.ExitProblem, "no signature meets allOf[0] of "+config+": key sha256:", "verify",
		"--verification-config-path", config, s.bare)

	s.configure("verification-config.yml", s.key.Config())
	for _, command := range [][]string{{"verify"}, {"pull"}, {"run", "-r", request}} {
		got := s.call(append(command, s.bundled)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Contains(t, got.err, "Default verification config present, using it")
		require.Contains(t, got.err, verified)
		got = s.call(append(command, s.bare)...)
		require.Equal(t, cli.ExitProblem, got.code, got.err)
		require.Contains(t, got.err, "verification-config.yml: key sha256:")
		require.Empty(t, got.out)
	}
	// Flags take precedence over it.
	s.refuses(cli.ExitProblem, "of the verification flags", "verify", "-k", s.foreignFile, s.old)
	s.configure("verification-config.yml", "apiVersion: v1")
	got := s.call("run", "-r", request, s.old)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "verification-config.yml: ")
	require.Empty(t, got.out)
}

// kwctl writes fields with null values.
func TestVerificationConfigOfKwctl(t *testing.T) {
	s := newSigned(t)
	config := file(t, "verification.yml",
		"apiVersion: v1\nallOf:\n- kind: pubKey\n  owner: null\n  annotations: null\n  key: |\n    "+
			strings.ReplaceAll(strings.TrimSpace(s.key.PEM), "\n", "\n    ")+"\nanyOf: null\n")
	s.does("verify", "--verification-config-path", config, s.old)
}

func TestVerifyByIdentities(t *testing.T) {
	s := newSigned(t)
	instance := keyless.New(t)
	s.registry.PushReferrer(t, "bare", s.manifest, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", s.manifest,
			map[string]string{"env": "prod"}))
	for _, root := range []string{
		file(t, "trusted_root.json", string(instance.TrustedRoot(t))),
		file(t, "config.json", string(instance.ClientTrustConfig(t))),
	} {
		identity := []string{
			"--sigstore-trust-config", root, "--cert-oidc-issuer", "https://issuer.example.com",
			"--cert-email",
		}
		s.does(append([]string{"verify", "-a", "env=prod", s.bare},
			append(identity, "ann@example.com")...)...)
		s.refuses(cli.ExitProblem, `by "ann@example.com" of "https://issuer.example.com"`,
			append([]string{"verify", s.bare}, append(identity, "bob@example.com")...)...)
		s.refuses(cli.ExitProblem, `wants issuer "https://token.actions.githubusercontent.com"`,
			"verify", "--sigstore-trust-config", root, "--github-owner", "kubewarden", s.bare)
		// Both the key and the identity are required.
		s.refuses(cli.ExitProblem, "no signature meets allOf[1]",
			append([]string{"verify", "-k", s.keyFile, s.bare},
				append(identity, "ann@example.com")...)...)
	}
	other := file(t, "other.json", string(keyless.New(t).TrustedRoot(t)))
	s.refuses(cli.ExitProblem, "no signature by an identity", "verify", "--sigstore-trust-config",
		other, "--cert-oidc-issuer", "https://issuer.example.com", "--cert-email",
		"ann@example.com", s.bare)
}

// A bundle beside a file counts like a signature in a registry. kwctl does not support this.
func TestVerifyFiles(t *testing.T) {
	s := newSigned(t)
	path := filepath.Join(t.TempDir(), "policy.wasm")
	require.NoError(t, os.WriteFile(path, s.policy, 0o600))
	require.NoError(t, os.Chmod(path, 0o666)) // a server would refuse to read it
	s.refuses(cli.ExitProblem,
		"looked for policy.wasm.sigstore.json, as cosign sign-blob --bundle writes it", "verify",
		"-k", s.keyFile, path)
	require.NoError(t, os.WriteFile(path+".sigstore.json", s.key.FileBundle(t, s.policy), 0o600))
	s.does("verify", "-k", s.keyFile, path)
	s.does("verify", "-k", s.keyFile, "file://"+path)
	require.Contains(t, s.does("run", "-r", request, "-k", s.keyFile, path), `"allowed":false`)
	s.refuses(cli.ExitProblem, "no signature meets", "verify", "-k", s.foreignFile, path)
	require.NoError(t, os.WriteFile(path, append(s.policy, 0, 1, 0), 0o600))
	s.refuses(cli.ExitProblem, "no signature meets", "verify", "-k", s.keyFile, path)
	s.refuses(cli.ExitProblem, "no signature meets", "run", "-r", request, "-k", s.keyFile, path)
}
