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

package images_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci/images"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// newImages returns an Images that may ask one registry on loopback, which is listed exactly and
// speaks HTTP.
func newImages(t testing.TB, host string, change func(*images.Options)) *images.Images {
	t.Helper()
	options := images.Options{
		Registries: []string{host},
		Sources:    module.Sources{Insecure: []string{host}},
		Checker:    sigstore.New(nil),
	}
	if change != nil {
		change(&options)
	}
	i, err := images.New(options)
	require.NoError(t, err)
	return i
}

// call asks in the way that a guest does.
func call(t testing.TB, i *images.Images, operation string, request any) (string, error) {
	t.Helper()
	payload, err := json.Marshal(request)
	require.NoError(t, err)
	answer, err := oci.New(i).Call(t.Context(), &capabilities.Caller{Policy: "p"}, operation,
		payload)
	return string(answer), err
}

// image is an image in a registry: an index with one image for this platform and one for another.
type image struct {
	*registry.Registry
	index, child, config string
	manifest             []byte
}

func pushImage(t testing.TB, r *registry.Registry) *image {
	t.Helper()
	i := &image{
		Registry: r,
		config: `{"architecture":"` + runtime.GOARCH + `","os":"` + runtime.GOOS +
			`","config":{"User":"1000"}}`,
	}
	manifest := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    r.PushBlob(t, "team/app", ocispec.MediaTypeImageConfig, []byte(i.config)),
		Layers:    []ocispec.Descriptor{},
	}
	manifest.SchemaVersion = 2
	var err error
	i.manifest, err = json.Marshal(manifest)
	require.NoError(t, err)
	i.child = r.PushManifest(t, "team/app", "child", manifest)
	size := int64(len(i.manifest))
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		{
			MediaType: manifest.MediaType, Digest: digest.Digest(i.child), Size: size,
			Platform: &ocispec.Platform{OS: "plan9", Architecture: "mips"},
		},
		{
			MediaType: manifest.MediaType, Digest: digest.Digest(i.child), Size: size,
			Platform: &ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH},
		},
	}}
	index.SchemaVersion = 2
	i.index = r.PushManifest(t, "team/app", "v1", index)
	return i
}

// eachRegistry runs a test with both kinds of registries.
func eachRegistry(t *testing.T, test func(*testing.T, *registry.Registry)) {
	t.Helper()
	for name, options := range map[string]registry.Options{
		"distribution": {},
		"referrers":    {InMemory: true, Referrers: true},
	} {
		t.Run(name, func(t *testing.T) { test(t, registry.Start(t, options)) })
	}
}

func TestWhatIsSaidOfAnImage(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *registry.Registry) {
		pushed := pushImage(t, r)
		i := newImages(t, r.Host, nil)
		name := r.Host + "/team/app"
		for _, test := range []struct{ operation, image, want string }{
			{oci.ManifestDigest, name + ":v1", `{"digest":"` + pushed.index + `"}`},
			{oci.ManifestDigest, "registry://" + name + ":v1", `{"digest":"` + pushed.index + `"}`},
			{oci.ManifestDigest, name + ":gone@" + pushed.child, `{"digest":"` + pushed.child +
				`"}`},
			{oci.Manifest, name + ":child", string(pushed.manifest)},
			{oci.ManifestAndConfig, name + ":v1", `{"manifest":` + string(pushed.manifest) +
				`,"digest":"` + pushed.child + `","config":` + pushed.config + `}`},
			{oci.ManifestAndConfig, name + "@" + pushed.child,
				`{"manifest":` + string(pushed.manifest) + `,"digest":"` + pushed.child +
					`","config":` + pushed.config + `}`},
		} {
			answer, err := call(t, i, test.operation, test.image)
			require.NoError(t, err)
			require.Equal(t, test.want, answer)
		}
		answer, err := call(t, i, oci.Manifest, name+":v1")
		require.NoError(t, err)
		var index ocispec.Index
		require.NoError(t, json.Unmarshal([]byte(answer), &index))
		require.Len(t, index.Manifests, 2)

		_, err = call(t, i, oci.ManifestDigest, name+":none")
		require.ErrorContains(t, err, "Callback evaluation failure: fetch registry://"+name+
			":none: not found")
		_, err = call(t, i, oci.ManifestDigest, name+"@sha256:short")
		require.ErrorContains(t, err, "the part after the @ must be the digest of a manifest")
	})
}

// kwctl pushes artifacts with an empty configuration.
func TestTheConfigurationOfAPolicy(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "policy", "v1", []byte("\x00asm"))
	answer, err := call(t, newImages(t, r.Host, nil), oci.ManifestAndConfig, r.Host+"/policy:v1")
	require.NoError(t, err)
	require.Contains(t, answer, `,"digest":"`+manifest+`","config":{}}`)
}

// by returns a request to verify that keys signed an image.
func by(version, image string, annotations map[string]string, keys ...*signing.Key) any {
	pem := []string{}
	for _, key := range keys {
		pem = append(pem, key.PEM)
	}
	fields := map[string]any{"image": image, "pub_keys": pem}
	if annotations != nil || version == oci.VerifyV1 {
		fields["annotations"] = annotations
	}
	if version == oci.VerifyV1 {
		return map[string]any{"SigstorePubKeyVerify": fields}
	}
	fields["type"] = "SigstorePubKeyVerify"
	return fields
}

func TestVerifyByKeys(t *testing.T) {
	eachRegistry(t, func(t *testing.T, r *registry.Registry) {
		pushed := pushImage(t, r)
		old, recent, foreign := signing.NewKey(t), signing.NewKey(t), signing.NewKey(t)
		r.PushSignatures(t, "team/app", pushed.index,
			old.Layer(t, pushed.index, map[string]string{"env": "prod"}))
		r.PushReferrer(t, "team/app", pushed.index, registry.BundleMediaType,
			recent.Bundle(t, pushed.index, nil))
		i := newImages(t, r.Host, nil)
		name := r.Host + "/team/app:v1"
		for _, test := range []struct {
			name    string
			request func(version string) any
			err     string
		}{
			{"by the old format", func(v string) any { return by(v, name, nil, old) }, ""},
			{"by the new one", func(v string) any { return by(v, name, nil, recent) }, ""},
			{"by both, and one twice", func(v string) any {
				return by(v, name, nil, old, recent, old)
			}, ""},
			{"with annotations", func(v string) any {
				return by(v, name, map[string]string{"env": "prod"}, old)
			}, ""},
			{"with other annotations", func(v string) any {
				return by(v, name, map[string]string{"env": "dev"}, old)
			}, `wants annotation "env" to be "dev", not "prod"`},
			{"by a foreign key", func(v string) any { return by(v, name, nil, foreign) },
				pushed.index + ": no signature meets "},
			{"by one of them alone", func(v string) any { return by(v, name, nil, old, foreign) },
				": no signature meets "},
			{"of an image that nobody signed", func(v string) any {
				return by(v, r.Host+"/team/app:child", nil, old)
			}, "none was found at all"},
			{"by no key", func(v string) any { return by(v, name, nil) },
				"Callback evaluation failure: Must provide at least one pub key"},
			{"by a text", func(v string) any { return by(v, name, nil, &signing.Key{PEM: "key"}) },
				"allOf[0].key: is not in PEM"},
		} {
			for _, version := range []string{oci.VerifyV1, oci.VerifyV2} {
				answer, err := call(t, i, version, test.request(version))
				if test.err != "" {
					require.ErrorContains(t, err, test.err, test.name)
					continue
				}
				require.NoError(t, err, test.name)
				require.Equal(t, `{"is_trusted":true,"digest":"`+pushed.index+`"}`, answer)
			}
		}
	})
}

func TestRequestsToVerifyThatSayTooLittle(t *testing.T) {
	i := newImages(t, "127.0.0.1:1", nil) // no registry is asked
	for _, test := range []struct{ operation, request, err string }{
		{oci.VerifyV1, `{"SigstorePubKeyVerify": {"pub_keys": []}}`,
			"Must provide at least one pub key"},
		{oci.VerifyV1, `{"SigstoreKeylessVerify": {"keyless": []}}`, "Must provide keyless info"},
		{oci.VerifyV2, `{"type": "SigstorePubKeyVerify", "pub_keys": []}`,
			"Must provide at least one pub key"},
		{oci.VerifyV2, `{"type": "SigstoreKeylessVerify", "keyless": []}`,
			"Must provide keyless info"},
		{oci.VerifyV2, `{"type": "SigstoreKeylessPrefixVerify", "keyless_prefix": []}`,
			"Must provide keyless info"},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": ""}`,
			"Must provide owner info"},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "o", "repo": ""}`,
			"repo: is empty"},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "o/r"}`,
			"allOf[0].owner: "},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "o"}`,
			"there is no trust root to verify certificates by: set verification.trustRoot"},
		{oci.VerifyV2,
			`{"type": "SigstoreKeylessPrefixVerify", "keyless_prefix": [{"issuer": "i", "url_prefix": "no url"}]}`,
			"allOf[0].subject.urlPrefix: "},
		{oci.VerifyV2,
			`{"type": "SigstoreKeylessVerify", "keyless": [{"issuer": "i", "subject": ""}]}`,
			"allOf[0].subject: "},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [], "require_rekor_bundle": true}`,
			"certificate: is missing"},
		{oci.VerifyV2, `{"type": "SigstoreCertificateVerify", "certificate": [1]}`,
			"require_rekor_bundle: is missing"},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [256], "require_rekor_bundle": true}`,
			"the payload is not a request to verify an image: "},
		{oci.VerifyV2,
			`{"type": "SigstorePubKeyVerify", "pub_keys": ["k"], "annotations": {"a": 1}}`,
			"the payload is not a request to verify an image: "},
	} {
		request := strings.Replace(test.request, `{"`, `{"image": "127.0.0.1:1/app", "`, 1)
		if test.operation == oci.VerifyV1 {
			request = strings.Replace(test.request, `: {`, `: {"image": "127.0.0.1:1/app", `, 1)
		}
		_, err := call(t, i, test.operation, json.RawMessage(request))
		require.ErrorContains(t, err, test.err, test.request)
		require.ErrorContains(t, err, "Callback evaluation failure: ")
	}
	i = newImages(t, "127.0.0.1:1", func(o *images.Options) { o.Checker = nil })
	_, err := call(t, i, oci.VerifyV2, by(oci.VerifyV2, "127.0.0.1:1/app", nil, signing.NewKey(t)))
	require.ErrorContains(t, err, "this program was built without a signature checker")
}

// attested is a checker that accepts a fixed identity as verified.
type attested struct {
	verification.Checker
	identity verification.CertificateIdentity
	// asked is the question about a certificate.
	asked string
}

func (a *attested) TrustRoot() string { return "a root" }

func (a *attested) Keyless(context.Context, *verification.Candidate,
	verification.Artifact) (*verification.Signed, error) {
	return &verification.Signed{Identity: &a.identity}, nil
}

func (a *attested) Certificate(_ context.Context, _ *verification.Candidate,
	_ verification.Artifact, certificate []byte, chain [][]byte,
	rekor bool) (*verification.Signed, error) {
	a.asked = fmt.Sprintf("%s %s %t", certificate, chain, rekor)
	if string(certificate) != "CERT" {
		return nil, errors.New("another certificate")
	}
	return &verification.Signed{Annotations: map[string]string{"env": "prod"}}, nil
}

// This test covers which certificates are demanded. The tests of package sigstore cover how they
// are verified.
func TestVerifyByIdentitiesAndCertificates(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	pushed := pushImage(t, r)
	r.PushSignatures(t, "team/app", pushed.index, signing.NewKey(t).Layer(t, pushed.index, nil))
	const workflow, gitHub = "https://github.com/owner/repo/.github/workflows/w.yml@refs/heads/main", "https://token.actions.githubusercontent.com"
	checker := &attested{
		identity: verification.CertificateIdentity{
			Issuer:           gitHub,
			Subjects:         []string{workflow},
			SourceRepository: "https://github.com/owner/repo",
		},
	}
	i := newImages(t, r.Host, func(o *images.Options) { o.Checker = checker })
	for _, test := range []struct{ operation, request, err string }{
		{oci.VerifyV1, `{"SigstoreKeylessVerify": {"keyless": [{"issuer": "` + gitHub +
			`", "subject": "` + workflow + `"}], "annotations": null}}`, ""},
		{oci.VerifyV2, `{"type": "SigstoreKeylessVerify", "keyless": [{"issuer": "` + gitHub +
			`", "subject": "` + workflow + `"}]}`, ""},
		{oci.VerifyV2, `{"type": "SigstoreKeylessVerify", "keyless": [{"issuer": "` + gitHub +
			`", "subject": "other"}]}`, `wants subject "other"`},
		{oci.VerifyV2, `{"type": "SigstoreKeylessPrefixVerify", "keyless_prefix": [{"issuer": "` +
			gitHub + `", "url_prefix": "https://github.com/owner"}]}`, ""},
		{oci.VerifyV2, `{"type": "SigstoreKeylessPrefixVerify", "keyless_prefix": [{"issuer": "` +
			gitHub + `", "url_prefix": "https://github.com/own"}]}`,
			"wants a subject that begins with"},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "owner", "repo": null}`,
			""},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "owner", "repo": "repo"}`,
			""},
		{oci.VerifyV2, `{"type": "SigstoreGithubActionsVerify", "owner": "owner", "repo": "other"}`,
			"wants a workflow of owner/other on github.com"},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [67, 69, 82, 84], "certificate_chain": [[65], [66]], "require_rekor_bundle": true}`,
			""},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [67, 69, 82, 84], "certificate_chain": null, "require_rekor_bundle": false, "annotations": {"env": "prod"}}`,
			""},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [67, 69, 82, 84], "require_rekor_bundle": false, "annotations": {"env": "dev"}}`,
			`wants annotation "env" to be "dev", not "prod"`},
		{oci.VerifyV2,
			`{"type": "SigstoreCertificateVerify", "certificate": [67], "require_rekor_bundle": false}`,
			"no signature meets the certificate; found 1: layer 0 of "},
	} {
		image := `"image": "` + r.Host + `/team/app:v1", `
		request := strings.Replace(test.request, `{`, `{`+image, 1)
		if test.operation == oci.VerifyV1 {
			request = strings.Replace(test.request, `: {`, `: {`+image, 1)
		}
		answer, err := call(t, i, test.operation, json.RawMessage(request))
		if test.err != "" {
			require.ErrorContains(t, err, test.err, test.request)
			continue
		}
		require.NoError(t, err, test.request)
		require.Equal(t, `{"is_trusted":true,"digest":"`+pushed.index+`"}`, answer)
		if strings.Contains(test.request, "[65]") {
			require.Equal(t, "CERT [A B] true", checker.asked)
		}
	}
}

// If a mirror has the image but no signatures, the registry itself is asked for them.
func TestSignaturesOfMirroredImages(t *testing.T) {
	source, mirror := registry.Start(t, registry.Options{}), registry.Start(t, registry.Options{})
	pushed, key := pushImage(t, source), signing.NewKey(t)
	pushImage(t, mirror)
	source.PushSignatures(t, "team/app", pushed.index, key.Layer(t, pushed.index, nil))
	i := newImages(t, source.Host, func(o *images.Options) {
		o.Sources.Insecure = append(o.Sources.Insecure, mirror.Host)
		o.Sources.Mirrors = []module.Mirror{{
			Prefix: "registry://" + source.Host + "/", Replacement: "registry://" + mirror.Host +
				"/",
		}}
	})
	_, err := call(t, i, oci.VerifyV2, by(oci.VerifyV2, source.Host+"/team/app:v1", nil, key))
	require.NoError(t, err)

	source.Stop()
	answer, err := call(t, i, oci.ManifestDigest, source.Host+"/team/app:v1")
	require.NoError(t, err, "the mirror has it")
	require.Contains(t, answer, pushed.index)
}

// Credentials go only to the registry that they belong to.
func TestCredentialsAreThoseOfSources(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true, Username: "u", Password: "p"})
	pushed := pushImage(t, r)
	i := newImages(t, r.Host, func(o *images.Options) {
		o.Sources = module.Sources{
			Authorities: []module.Authority{{Host: r.Host, Files: []string{r.CA}}},
		}
	})
	_, err := call(t, i, oci.ManifestDigest, r.Host+"/team/app:v1")
	require.ErrorContains(t, err, "credentials are required, and there are none")

	config := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t,
		os.WriteFile(config,
			fmt.Appendf(nil, `{"auths": {%q: {"username": "u", "password": "p"}}}`, r.Host), 0o600))
	i = newImages(t, r.Host, func(o *images.Options) {
		o.Sources = module.Sources{
			Authorities:  []module.Authority{{Host: r.Host, Files: []string{r.CA}}},
			DockerConfig: config,
		}
	})
	answer, err := call(t, i, oci.ManifestDigest, r.Host+"/team/app:v1")
	require.NoError(t, err)
	require.Contains(t, answer, pushed.index)
}

// looks counts the recorded lookups.
type looks map[string]int

func (l looks) CountLook(operation, result string) { l[operation+" "+result]++ }

func TestTheQuestionIsWhatAnAnswerIsKeptBy(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	pushed, key, foreign := pushImage(t, r), signing.NewKey(t), signing.NewKey(t)
	r.PushSignatures(t, "team/app", pushed.index, key.Layer(t, pushed.index, nil))
	recorded, name := looks{}, r.Host+"/team/app:v1"
	i := newImages(t, r.Host, func(o *images.Options) { o.Recorder = recorded })
	for range 2 {
		_, err := call(t, i, oci.VerifyV2, by(oci.VerifyV2, name, nil, key))
		require.NoError(t, err)
		_, err = call(t, i, oci.VerifyV2, by(oci.VerifyV2, name, nil, foreign))
		require.ErrorContains(t, err, "no signature meets")
		_, err = call(t, i, oci.VerifyV2, by(oci.VerifyV2, name, map[string]string{"a": "b"}, key))
		require.ErrorContains(t, err, "no signature meets")
		_, err = call(t, i, oci.ManifestDigest, name)
		require.NoError(t, err)
		_, err = call(t, i, oci.Manifest, name)
		require.NoError(t, err)
		_, err = call(t, i, oci.Manifest, "ghcr.io/app")
		require.ErrorContains(t, err, "may not ask about")
		r.Stop() // the second answer comes from the cache
	}
	require.Equal(t, looks{
		"v2/verify asked": 1, "v2/verify cached": 1, "v2/verify failed": 4,
		"v1/manifest_digest asked": 1, "v1/manifest_digest cached": 1,
		"v1/oci_manifest asked": 1, "v1/oci_manifest cached": 1, "v1/oci_manifest denied": 2,
	}, recorded)
}
