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

package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

var whole = flag.Bool("sigstore", false, "start a private Sigstore, which takes a minute or two")

// The identities that the configuration requires.
const (
	email      = "releases@example.com"
	owner      = "example"
	repository = "policies"
	workflow   = "release.yml"
	ref        = "refs/tags/v1"
)

// suite holds the signers and the places of the policies.
type suite struct {
	*testing.T
	instance *instance.Instance
	cosign   *cosign.Cosign
	// plain has no referrers API, but other does.
	plain, other *registry.Registry
	// modules is the directory of the modules on disk.
	modules string
	wasm    []byte
	keys    map[string]string // in PEM
	count   int
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	if !*whole {
		t.Skip("takes a minute or two: run make e2e-sigstore")
	}
	require.NoError(t, instance.Built(instance.Options{}))
	private := func() string {
		directory := t.TempDir()
		require.NoError(t, os.Chmod(directory, 0o700))
		return directory
	}
	i, err := instance.Start(t.Context(), instance.Options{Directory: private()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Stop()) })
	s := &suite{
		T: t, instance: i, cosign: cosign.New(t), modules: private(), keys: map[string]string{},
		plain: registry.Start(t, registry.Options{}),
		other: registry.Start(t, registry.Options{InMemory: true, Referrers: true}),
	}
	for name, kind := range map[string]string{
		"own":     "p256",
		"second":  "p256",
		"foreign": "p256",
		"edwards": "ed25519",
		"rsa":     "rsa2048",
	} {
		s.keys[name] = string(s.cosign.Key(kind, name))
	}
	s.wasm, err = os.ReadFile("../../wat/deny.wasm")
	require.NoError(t, err)
	return s
}

// identity is a signer: the arguments for cosign, those for its older format, and the requirement
// in a verification config.
type identity struct {
	arguments, older []string
	demand           map[string]any
}

// byKey signs with a key. If logged is set, the signature has a log entry and a timestamp.
func (s *suite) byKey(name string, logged bool) identity {
	key := []string{"--key", name + ".key"}
	arguments := append(key[:2:2], "--signing-config", "signing-config.json")
	if logged {
		arguments = append(key[:2:2], "--signing-config", s.instance.Path(instance.SigningConfig),
			"--trusted-root", s.instance.Path(instance.TrustedRoot))
	}
	older := append(key[:2:2], "--use-signing-config=false", "--tlog-upload=false",
		"--new-bundle-format=false")
	return identity{arguments, older, map[string]any{"kind": "pubKey", "key": s.keys[name]}}
}

// byToken signs with a certificate that Fulcio issues for a token.
func (s *suite) byToken(token string, err error, demand map[string]any) identity {
	require.NoError(s, err)
	file := fmt.Sprintf("token-%x", sha256.Sum256([]byte(token)))
	s.cosign.Write(file, []byte(token))
	return identity{
		[]string{
			"--identity-token",
			file,
			"--signing-config",
			s.instance.Path(instance.SigningConfig),
			"--trusted-root",
			s.instance.Path(instance.TrustedRoot),
		},
		append([]string{"--identity-token", file}, s.instance.OlderArguments()...), demand,
	}
}

func (s *suite) byEmail(address string) identity {
	token, err := s.instance.Issuer.Email(address)
	return s.byToken(token, err,
		s.fromIssuer(s.instance.Issuer.URL, map[string]string{"equal": address}))
}

func (s *suite) byWorkflow(repo, file, at string) identity {
	token, err := s.instance.Issuer.Workflow(repo, file, at)
	return s.byToken(token, err, s.fromGitHub(owner, repository))
}

func (s *suite) fromIssuer(issuer string, subject map[string]string) map[string]any {
	return map[string]any{"kind": "genericIssuer", "issuer": issuer, "subject": subject}
}

func (s *suite) fromGitHub(owner, repo string) map[string]any {
	demand := map[string]any{"kind": "githubAction", "owner": owner}
	if repo != "" {
		demand["repo"] = repo
	}
	return demand
}

// signed is a module with a signature. Test cases change copies of it.
type signed struct {
	wasm   []byte
	isFile bool
	demand map[string]any
	// bundle or layer is the signature that cosign wrote. An unsigned module has neither.
	bundle []byte
	layer  *registry.Layer
}

// image signs an image with cosign, in the format of cosign 2 if old is set.
func (s *suite) image(r *registry.Registry, wasm []byte, who identity, old bool,
	more ...string) signed {
	s.count++
	name := fmt.Sprintf("signed/%d", s.count)
	reference := r.Host + "/" + name + "@" + r.Push(s, name, "v1", wasm)
	arguments := append([]string{"sign", "--yes", "--allow-http-registry"}, more...)
	if old {
		arguments = append(arguments, who.older...)
	} else {
		arguments = append(arguments, who.arguments...)
	}
	s.cosign.Must(append(arguments, reference)...)
	return s.fetch(r, name, signed{wasm: wasm, demand: who.demand})
}

// attestation attests an image with cosign. An attestation is not a signature.
func (s *suite) attestation(r *registry.Registry, who identity) signed {
	s.count++
	name := fmt.Sprintf("signed/%d", s.count)
	s.cosign.Write("predicate.json", []byte(`{"verdict":"harmless"}`))
	reference := r.Host + "/" + name + "@" + r.Push(s, name, "v1", s.wasm)
	s.cosign.Must(
		append(append([]string{
			"attest", "--yes", "--allow-http-registry", "--predicate", "predicate.json",
		}, who.arguments...), reference)...)
	return s.fetch(r, name, signed{wasm: s.wasm, demand: who.demand})
}

// fetch reads the only signature of an image.
func (s *suite) fetch(r *registry.Registry, name string, image signed) signed {
	repository := r.Repository(s, name)
	manifest, err := repository.Resolve(s.Context(), "v1")
	require.NoError(s, err)
	found := 0
	for candidate, err := range discovery.Find(s.Context(), repository, manifest) {
		require.NoError(s, err)
		found++
		if image.bundle = candidate.Bundle; image.bundle == nil {
			image.layer = layerOf(candidate)
		}
	}
	require.Equal(s, 1, found)
	return image
}

// Annotations of a layer in the format of cosign 2.
const (
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	chainAnnotation       = "dev.sigstore.cosign/chain"
	logAnnotation         = "dev.sigstore.cosign/bundle"
)

// layerOf converts a candidate back to its layer.
func layerOf(candidate *verification.Candidate) *registry.Layer {
	layer := &registry.Layer{Payload: candidate.Payload, Annotations: map[string]string{
		signatureAnnotation: base64.StdEncoding.EncodeToString(candidate.Signature),
	}}
	for name, content := range map[string][]byte{
		certificateAnnotation: candidate.Certificate, chainAnnotation: candidate.Chain,
		logAnnotation: candidate.RekorBundle,
	} {
		if len(content) > 0 {
			layer.Annotations[name] = string(content)
		}
	}
	return layer
}

// file signs a file with cosign.
func (s *suite) file(wasm []byte, who identity) signed {
	s.cosign.Write("file.wasm", wasm)
	s.cosign.Must(append(append([]string{"sign-blob", "--yes", "--bundle", "file.json"},
		who.arguments...), "file.wasm")...)
	return signed{wasm: wasm, isFile: true, demand: who.demand, bundle: s.cosign.Read("file.json")}
}

// another returns a module with a different digest.
func (s *suite) another() []byte {
	return append(s.wasm[:len(s.wasm):len(s.wasm)], 0, 2, 1, 'a') // an empty custom section
}

// deploy writes a module and its signature to a new place, and returns the module's URI. Images
// alternate between the two registries.
func (s *suite) deploy(m signed) string {
	s.count++
	if !m.isFile {
		r := []*registry.Registry{s.plain, s.other}[s.count%2]
		return s.deployTo(r, m)
	}
	path := filepath.Join(s.modules, fmt.Sprintf("module-%d.wasm", s.count))
	require.NoError(s, os.WriteFile(path, m.wasm, 0o600))
	if m.bundle != nil {
		require.NoError(s, os.WriteFile(path+".sigstore.json", m.bundle, 0o600))
	}
	return "file://" + path
}

func (s *suite) deployTo(r *registry.Registry, m signed) string {
	s.count++
	name := fmt.Sprintf("deployed/%d", s.count)
	s.attach(r, name, r.Push(s, name, "v1", m.wasm), m)
	return "registry://" + r.Host + "/" + name + ":v1"
}

// attach attaches a signature to an image.
func (s *suite) attach(r *registry.Registry, name, manifest string, m signed) {
	if m.bundle != nil {
		r.PushReferrer(s, name, manifest, registry.BundleMediaType, m.bundle)
	}
	if m.layer != nil {
		r.PushSignatures(s, name, manifest, *m.layer)
	}
}
