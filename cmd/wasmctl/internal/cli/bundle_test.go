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
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

// airGap is a configuration of policies that are signed in all supported ways: with a key or an
// identity, in a registry or on a web server.
type airGap struct {
	*signed
	configuration, root string
	// These URIs name a file on a server, a policy with a signature in the new format, and a policy
	// signed by an identity.
	server, packed, keyless string
	identified              string // the digest of keyless
	output                  string // the bundle's path without .tar
	stop                    func()
}

const byKeyOrIdentity = `{apiVersion: v1, anyOf: {signatures: [{kind: pubKey, key: %q}, {kind: genericIssuer, issuer: "https://issuer.example.com", subject: {equal: ann@example.com}}]}}`

func newAirGap(t *testing.T) *airGap {
	t.Helper()
	b := &airGap{signed: newSigned(t), output: filepath.Join(t.TempDir(), "policies")}
	instance := keyless.New(t)
	// A layout lists referrers of a manifest for all its repositories, so each repository gets its
	// own variant.
	manifest := b.registry.Push(t, "packed", "v1", b.variant(1))
	b.registry.PushReferrer(t, "packed", manifest, registry.BundleMediaType,
		b.key.Bundle(t, manifest, nil))
	b.packed = "registry://" + b.host + "/packed:v1"
	b.identified = b.registry.Push(t, "keyless", "v1", b.variant(2))
	b.registry.PushReferrer(t, "keyless", b.identified, registry.BundleMediaType,
		instance.Bundle(t, "ann@example.com", "https://issuer.example.com", b.identified, nil))
	b.keyless = "registry://" + b.host + "/keyless:v1"
	files := map[string][]byte{
		"/p/policy.wasm":               b.policy,
		"/p/policy.wasm.sigstore.json": b.key.FileBundle(t, b.policy),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := files[r.URL.Path]; !ok {
			http.NotFound(w, r)
		}
		_, _ = w.Write(files[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	b.server = server.URL + "/p/policy.wasm"
	insecure := fmt.Sprintf("[%q, %q]", b.host, strings.TrimPrefix(server.URL, "http://"))
	b.configure("sources.yaml", "insecure_sources: "+insecure)
	b.root = file(t, "trusted_root.json", string(instance.TrustedRoot(t)))
	b.configuration =
		b.configured(
			fmt.Sprintf(
				"sources: {insecure: %s}\nstateDirectory: /var/lib/wasm\nverification: {config: %s, trustRoot: {file: %s}}\n",
				insecure, fmt.Sprintf(byKeyOrIdentity, b.key.PEM), b.root))
	b.stop = func() { server.Close(); b.registry.Stop() }
	return b
}

// configured returns a configuration with all policies.
func (b *airGap) configured(head string) string {
	config :=
		"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n" +
			head + "policies:\n"
	for n, uri := range []string{b.old, b.packed, b.keyless, b.server, "file:///etc/local.wasm"} {
		config +=
			fmt.Sprintf(
				"- name: policy-%d\n  module: %s\n  rules: [{apiGroups: [\"\"], apiVersions: [v1], resources: [pods], operations: [CREATE]}]\n",
				n, uri)
	}
	return file(b.t, "configuration.yaml", config)
}

// variant returns the policy with additional custom sections.
func (b *airGap) variant(sections int) []byte {
	return append(b.policy[:len(b.policy):len(b.policy)],
		bytes.Repeat([]byte{0, 1, 0}, sections)...)
}

// blob returns the path of a blob in the directory with the bundle.
func (b *airGap) blob(digest string) string {
	return filepath.Join(b.output, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// index changes the index in the directory with the bundle.
func (b *airGap) index(change func(*ocispec.Index)) {
	b.t.Helper()
	path := filepath.Join(b.output, "index.json")
	content, err := os.ReadFile(path)
	require.NoError(b.t, err)
	var index ocispec.Index
	require.NoError(b.t, json.Unmarshal(content, &index))
	change(&index)
	content, err = json.Marshal(index)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(path, content, 0o600))
}

// A bundle is complete, and can be verified without any other source.
func TestBundle(t *testing.T) {
	b := newAirGap(t)
	said := b.does("bundle", "-o", b.output+".tar", b.configuration)
	for _, want := range []string{
		b.old + " " + b.manifest + ", signatures: 1\n", b.packed + " sha256:",
		b.keyless + " " + b.identified + ", signatures: 1\n",
		b.server + " sha256:", "file:///etc/local.wasm is not in the bundle",
		"is also in " + b.output + ".trusted_root.json",
	} {
		require.Contains(t, said, want)
	}
	one, err := os.ReadFile(b.output + ".tar")
	require.NoError(t, err)
	b.does("bundle", "-o", b.output+".tar", b.configuration)
	again, err := os.ReadFile(b.output + ".tar")
	require.NoError(t, err)
	require.Equal(t, one, again, "the same modules make the same bytes")
	b.does("bundle", "-o", b.output, b.configuration)
	b.refuses(cli.ExitProblem, "already exists", "bundle", "-o", b.output, b.configuration)
	entries, err := os.ReadDir(filepath.Dir(b.output))
	require.NoError(t, err)
	require.Len(t, entries, 3, "nothing else is left")

	b.stop()
	for _, path := range []string{b.output, b.output + ".tar"} {
		said := b.does("bundle", "--verify", path, b.configuration)
		require.Contains(t, said, b.keyless+" "+b.identified+", signatures: 1\n")
		require.Contains(t, said, "Certificates are verified by the configuration's trust root")
		require.Contains(t, b.does("bundle", "--verify", path),
			"Signatures were not verified: name a configuration")
		b.does("bundle", "--verify", path, b.old)
		b.refusesBundle(path, "fetch registry://"+b.host+"/other:v1: layout "+path, b.old,
			"registry://"+b.host+"/other:v1")

		// The other commands also accept layouts.
		uri := "oci-layout://" + path + ":" + strings.TrimPrefix(b.old, "registry://")
		require.Contains(t, b.does("run", "-r", request, "-k", b.keyFile, uri), `"allowed":false`)
		b.refuses(cli.ExitProblem, "no signature meets", "verify", "-k", b.foreignFile, uri)
		b.does("verify", "-k", b.keyFile, uri)
		out := filepath.Join(t.TempDir(), "policy.wasm")
		b.does("pull", "-k", b.keyFile, "-o", out, uri)
		require.FileExists(t, out)
		require.Contains(t, b.does("inspect", uri), "pod-privileged")
	}
}

// refusesBundle verifies a bundle and expects an error.
func (b *airGap) refusesBundle(path, want string, arguments ...string) {
	b.t.Helper()
	got := b.call(append([]string{"bundle", "--verify", path}, arguments...)...)
	require.Equal(b.t, cli.ExitProblem, got.code, got.out)
	require.Contains(b.t, got.err, want)
}

// If the configuration names the public trust root, the root in the bundle is used.
func TestTheRootInABundle(t *testing.T) {
	b := newAirGap(t)
	b.does("bundle", "-o", b.output, b.configuration)
	public :=
		b.configured(
			fmt.Sprintf(
				"sources: {insecure: [%q, %q]}\nstateDirectory: /var/lib/wasm\nverification: {config: %s, trustRoot: {publicGood: true}}\n",
				b.host, strings.Split(b.server, "/")[2], fmt.Sprintf(byKeyOrIdentity, b.key.PEM)))
	require.Contains(t, b.does("bundle", "--verify", b.output, public),
		"Certificates are verified by the bundle's own trust root")
	// A different root leads to a different result.
	other := file(t, "other.json", string(keyless.New(t).ClientTrustConfig(t)))
	b.refusesBundle(b.output, b.keyless+": not verified: ", "--sigstore-trust-config", other,
		public)
	b.index(func(index *ocispec.Index) {
		index.Manifests = index.Manifests[:0:0]
	})
	b.refusesBundle(b.output,
		"verification: verification.config demands signatures by identities: there is no trust root",
		public)
}

// A module that a server would refuse is not bundled. No output remains.
func TestBundleRefuses(t *testing.T) {
	b := newAirGap(t)
	config :=
		b.configured(
			fmt.Sprintf(
				"sources: {insecure: [%q, %q]}\nstateDirectory: /var/lib/wasm\nverification: {config: %s}\n",
				b.host, strings.Split(b.server, "/")[2], b.foreign.Config()))
	b.refusesAll("no signature meets", "bundle", "-o", b.output+".tar", config)
	b.refuses(cli.ExitProblem, "check the host, the name, and the tag", "bundle", "-o", b.output,
		"registry://"+b.host+"/none:v1")
	b.refuses(cli.ExitProblem, "nothing to bundle", "bundle", "-o", b.output,
		file(t, "empty.yaml",
			"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"))
	b.refuses(cli.ExitProblem, "has a query or a fragment", "bundle", "-o", b.output,
		b.server+"?token=secret")
	b.refuses(cli.ExitProblem, "is neither in a registry nor on a web server", "bundle", "-o",
		b.output, "file:///policy.wasm")
	b.refuses(cli.ExitUsage, "name a configuration", "bundle", "-o", b.output)
	b.refuses(cli.ExitUsage, "write --output and a path", "bundle", b.old)
	b.refuses(cli.ExitUsage, "write --output and a path", "bundle", "-o", b.output, "--verify",
		b.output, b.old)
	b.refuses(cli.ExitUsage, "but there is also", "bundle", "-o", b.output, config, config)
	entries, err := os.ReadDir(filepath.Dir(b.output))
	require.NoError(t, err)
	require.Empty(t, entries)
	b.does("bundle", "-o", b.output, b.bare)
	require.Contains(t, b.does("bundle", "--verify", b.output, b.bare), "signatures: 0")
}

func (b *airGap) refusesAll(want string, arguments ...string) {
	b.t.Helper()
	got := b.call(arguments...)
	require.Equal(b.t, cli.ExitProblem, got.code)
	for _, line := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(got.err, "Error: "),
		"\n"), "\n") {
		require.Contains(b.t, line, want)
	}
	require.Empty(b.t, got.out)
}

// Any change or loss of a file in a bundle is detected by its digest.
func TestDamagedBundles(t *testing.T) {
	b := newAirGap(t)
	b.does("bundle", "-o", b.output, b.configuration)
	blobs, err := os.ReadDir(filepath.Join(b.output, "blobs", "sha256"))
	require.NoError(t, err)
	require.Greater(t, len(blobs), 10)
	for _, blob := range blobs {
		path := b.blob(blob.Name())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := append([]byte{content[0] ^ 1}, content[1:]...)
		for kind, tamper := range map[string]func() error{
			"changed": func() error { return os.WriteFile(path, changed, 0o600) },
			"shorter": func() error { return os.WriteFile(path, content[1:], 0o600) },
			"longer":  func() error { return os.WriteFile(path, append(changed, 0), 0o600) },
			"gone":    func() error { return os.Remove(path) },
		} {
			require.NoError(t, tamper(), kind)
			b.refusesBundle(b.output, "sha256:"+blob.Name())
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	b.does("bundle", "--verify", b.output)
}

// An attacker can change a bundle so that all digests match, but cannot sign it.
func TestTamperedBundles(t *testing.T) {
	b := newAirGap(t)
	manifest := b.registry.Push(t, "evil", "v1", b.variant(3))
	b.registry.PushSignatures(t, "evil", manifest, b.foreign.Layer(t, manifest, nil))
	unverified :=
		b.configured(fmt.Sprintf("sources: {insecure: [%q, %q]}\nstateDirectory: /var/lib/wasm\n",
			b.host, strings.Split(b.server, "/")[2]))
	b.does("bundle", "-o", b.output, unverified, "registry://"+b.host+"/evil:v1")
	original, err := os.ReadFile(filepath.Join(b.output, "index.json"))
	require.NoError(t, err)
	b.does("bundle", "--verify", b.output, b.configuration)

	at := func(name string) func(ocispec.Descriptor) bool {
		return func(entry ocispec.Descriptor) bool {
			return entry.Annotations[ocispec.AnnotationRefName] == b.host+"/"+name
		}
	}
	signature := func(of string) string { return of + ":" + registry.SignatureTag(b.manifest) }
	find := func(index *ocispec.Index, is func(ocispec.Descriptor) bool) *ocispec.Descriptor {
		n := slices.IndexFunc(index.Manifests, is)
		require.NotEqual(t, -1, n)
		return &index.Manifests[n]
	}
	without := func(is func(ocispec.Descriptor) bool) func(*ocispec.Index) {
		return func(index *ocispec.Index) {
			find(index, is)
			index.Manifests = slices.DeleteFunc(index.Manifests, is)
		}
	}
	as := func(target, evil string) func(*ocispec.Index) {
		return func(index *ocispec.Index) {
			to, from := find(index, at(target)), find(index, at(evil))
			to.Digest, to.Size = from.Digest, from.Size
		}
	}
	for name, test := range map[string]struct {
		tamper func(*ocispec.Index)
		want   string
	}{
		"signature in the old format gone": {without(at(signature("old"))),
			b.old + ": not verified: " + b.manifest},
		"signatures in the new format gone": {without(func(d ocispec.Descriptor) bool {
			return d.Annotations == nil
		}), b.packed + ": not verified: sha256:"},
		"module gone": {without(at("old:v1")),
			b.old + ": layout " + b.output},
		"module of a server gone": {without(func(d ocispec.Descriptor) bool {
			return d.Annotations["io.wasm-admission.uri"] != ""
		}), b.server + ": layout " + b.output},
		"another module": {as("old:v1", "evil:v1"),
			b.old + ": not verified: sha256:"},
		"signature of another": {func(index *ocispec.Index) {
			to := find(index, at(signature("old")))
			from := find(index, func(d ocispec.Descriptor) bool {
				return strings.HasPrefix(d.Annotations[ocispec.AnnotationRefName],
					b.host+"/evil:sha256-")
			})
			to.Digest, to.Size = from.Digest, from.Size
		}, b.old + ": not verified: " + b.manifest},
		"another media type": {func(index *ocispec.Index) {
			find(index, at("old:v1")).MediaType = ocispec.MediaTypeImageIndex
		}, b.old + ": it has media type"},
		"two meanings": {func(index *ocispec.Index) {
			twin := *find(index, at("evil:v1"))
			twin.Annotations = map[string]string{ocispec.AnnotationRefName: b.host + "/old:v1"}
			index.Manifests = append(index.Manifests, twin)
		}, "says that"},
	} {
		b.index(test.tamper)
		b.refusesBundle(b.output, test.want, b.configuration)
		require.NoError(t, os.WriteFile(filepath.Join(b.output, "index.json"), original, 0o600),
			name)
	}
	b.does("bundle", "--verify", b.output, b.configuration)

	b.does("bundle", "-o", b.output+".tar", b.configuration)
	content, err := os.ReadFile(b.output + ".tar")
	require.NoError(t, err)
	for name, cut := range map[string]int{"half": len(content) / 2, "begin": 600} {
		require.NoError(t, os.WriteFile(b.output+".tar", content[:cut], 0o600))
		got := b.call("bundle", "--verify", b.output+".tar", b.configuration)
		require.Equal(t, cli.ExitProblem, got.code, name)
	}
}
