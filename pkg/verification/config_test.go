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

package verification_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// rsa1024 is a public key that is too short.
const rsa1024 = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDzPjt5NeGzg+YnLtWoGLPQiy2p
RdPZlYUu8eNjdsFvIFCHIV2JE+RR46dfoWzrr6Jlr7EpeLpDCjlxjTBB5GMklZJo
BmczhLVtSu2bUc1rgRMtv5J8kKarmDP0d+3EglIE+Xp1agRsTLqqdVxo7STdYppt
VC6xUAvLREWBZf4uPwIDAQAB
-----END PUBLIC KEY-----
`

func newKey(t testing.TB) (private *ecdsa.PrivateKey, public string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	return private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// indented quotes a text as a YAML value.
func indented(text string) string { return fmt.Sprintf("%q", text) }

func TestParseConfig(t *testing.T) {
	_, key := newKey(t)
	config, err := verification.ParseConfig([]byte(`# as Kubewarden has it
apiVersion: v1
allOf:
  - {kind: githubAction, owner: kubewarden, repo: policy, annotations: {env: prod}}
anyOf:
  minimumMatches: 2
  signatures:
    - {kind: pubKey, owner: somebody, key: ` + indented(key) + `}
    - {kind: genericIssuer, issuer: https://issuer.example.com, subject: {equal: mail@example.com}}
    - {kind: genericIssuer, issuer: https://issuer.example.com, subject: {urlPrefix: "HTTPS://GitHub.com:443/other/../org"}}
`))
	require.NoError(t, err)
	require.Len(t, config.AllOf, 1)
	require.Equal(t, "policy", config.AllOf[0].Repo)
	require.Equal(t, map[string]string{"env": "prod"}, config.AllOf[0].Annotations)
	require.Equal(t, 2, config.AnyOf.MinimumMatches)
	require.Equal(t, key, config.AnyOf.Signatures[0].Key)
	require.Equal(t, "https://github.com/org/", config.AnyOf.Signatures[2].Subject.URLPrefix)
	require.True(t, config.Keyless())

	config, err =
		verification.ParseConfig(
			[]byte(
				`{"apiVersion": "v1", "allOf": null, "anyOf": {"signatures": [{"kind": "pubKey", "key": ` +
					indented(key) + `}]}}`))
	require.NoError(t, err, "JSON")
	require.Equal(t, 1, config.AnyOf.MinimumMatches)
	require.False(t, config.Keyless())
}

func TestParseConfigRefuses(t *testing.T) {
	_, key := newKey(t)
	pubKey := `{kind: pubKey, key: ` + indented(key) + `}`
	github := `{kind: githubAction, owner: kubewarden}`
	allOf := func(signature string) string { return "apiVersion: v1\nallOf: [" + signature + "]\n" }
	anyOf := func(head string, signatures ...string) string {
		return "apiVersion: v1\nanyOf: {" + head + "signatures: [" +
			strings.Join(signatures, ", ") + "]}\n"
	}
	subject := func(subject string) string {
		return allOf(`{kind: genericIssuer, issuer: https://a.example.com, subject: ` + subject +
			`}`)
	}
	for name, c := range map[string]struct {
		document string
		want     string
	}{
		"no YAML":       {"{", "is not valid YAML"},
		"two documents": {allOf(github) + "---\n" + allOf(github), "is not valid YAML"},
		"a key twice":   {allOf(github) + "allOf: []\n", "is not valid YAML"},
		"a list":        {"[]", "is not an object"},
		"nothing":       {"", "is not an object"},
		"no version":    {"allOf: [" + github + "]", "apiVersion: is missing: write v1"},
		"another version": {"apiVersion: v2\nallOf: [" + github + "]",
			`apiVersion: "v2" is not supported: write v1`},
		"a version's number": {"apiVersion: 1\nallOf: [" + github + "]",
			"apiVersion: 1 is not supported: write v1"},
		"no demands": {"apiVersion: v1",
			"allOf: is missing, and so is anyOf: such a config would accept everything"},
		"allOf of none": {"apiVersion: v1\nallOf: []",
			"allOf: is empty, which would demand nothing"},
		"anyOf of none": {anyOf(""),
			"anyOf.signatures: is empty, which would demand nothing"},
		"anyOf without": {"apiVersion: v1\nanyOf: {}",
			"anyOf.signatures: is empty, which would demand nothing"},
		"allOf of none too": {anyOf("", github) + "allOf: []",
			"allOf: is empty, which would demand nothing"},
		"no matches": {anyOf("minimumMatches: 0, ", github),
			"anyOf.minimumMatches: 0 of 1 signatures would accept everything or nothing: write a number from 1 to 1"},
		"too many matches": {anyOf("minimumMatches: 2, ", github),
			"anyOf.minimumMatches: 2 of 1 signatures"},
		"negative matches": {anyOf("minimumMatches: -1, ", github),
			"anyOf.minimumMatches: -1 of 1 signatures"},
		"matches as text": {anyOf("minimumMatches: one, ", github),
			"anyOf.minimumMatches: string does not fit"},
		"an unknown field": {allOf(github) + "kind: x\n",
			`unknown field "kind": correct its name or remove it`},
		"unknown in anyOf": {anyOf("least: 1, ", github), `unknown field "anyOf.least"`},
		"unknown in one": {allOf(`{kind: githubAction, owner: kubewarden, key: x}`),
			`unknown field "allOf[0].key"`},
		"another case": {"apiVersion: v1\nallof: [" + github + "]", `unknown field "allof"`},
		"no kind": {allOf(`{owner: kubewarden}`),
			`allOf[0].kind: "" is not supported: write one of pubKey, genericIssuer, githubAction`},
		"certificate": {allOf(`{kind: certificate}`),
			`allOf[0].kind: "certificate" is not supported`},
		"a text": {allOf(`x`), "allOf[0]: is not an object with a kind"},
		"no owner": {allOf(`{kind: githubAction}`),
			`allOf[0].owner: "" is not a GitHub account`},
		"owner with a slash": {allOf(`{kind: githubAction, owner: a/b}`),
			`allOf[0].owner: "a/b" is not a GitHub account`},
		"empty repo": {allOf(`{kind: githubAction, owner: a, repo: ""}`),
			"allOf[0].repo: is empty"},
		"repo with a slash": {allOf(`{kind: githubAction, owner: a, repo: a/b}`),
			`allOf[0].repo: "a/b" is not a GitHub repository`},
		"no key": {allOf(`{kind: pubKey}`),
			"allOf[0].key: is missing: write the public key in PEM"},
		"no PEM": {allOf(`{kind: pubKey, key: x}`), "allOf[0].key: is not in PEM"},
		"a private key": {allOf(
			`{kind: pubKey, key: "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"}`),
			"allOf[0].key: is a private key"},
		"a certificate's PEM": {allOf(
			`{kind: pubKey, key: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"}`),
			`allOf[0].key: is a "CERTIFICATE"`},
		"no key in it": {allOf(
			`{kind: pubKey, key: "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"}`),
			"allOf[0].key: is not a public key (PKIX)"},
		"two keys": {allOf(`{kind: pubKey, key: ` + indented(key+key) + `}`),
			"allOf[0].key: has something after the key"},
		"a short key": {allOf(`{kind: pubKey, key: ` + indented(rsa1024) + `}`),
			"allOf[0].key: the RSA key has 1024 bits: use one of 2048 to 8192"},
		"no issuer": {allOf(`{kind: genericIssuer, subject: {equal: a}}`),
			"allOf[0].issuer: is missing"},
		"no subject": {allOf(`{kind: genericIssuer, issuer: a}`),
			"allOf[0].subject: must have exactly one of equal and urlPrefix"},
		"an empty subject": {subject(`{}`),
			"allOf[0].subject: must have exactly one of equal and urlPrefix"},
		"both subjects": {subject(`{equal: a, urlPrefix: "https://a.example.com/"}`),
			"allOf[0].subject: must have exactly one of equal and urlPrefix"},
		"unknown subject": {subject(`{regex: a}`), `unknown field "allOf[0].subject.regex"`},
		"a relative prefix": {subject(`{urlPrefix: github.com/org}`),
			"allOf[0].subject.urlPrefix: \"github.com/org\" is not an absolute URL"},
		"an opaque prefix": {subject(`{urlPrefix: "mailto:a@example.com"}`),
			"is not an absolute URL"},
		"a prefix with query": {subject(`{urlPrefix: "https://github.com/org?x"}`),
			"has more than scheme, host and path"},
		"a prefix with user": {subject(`{urlPrefix: "https://a@github.com/org"}`),
			"has more than scheme, host and path"},
		"escaped dots": {subject(`{urlPrefix: "https://github.com/a/%2E./org"}`),
			"has escaped dots"},
		"annotation's number": {allOf(`{kind: githubAction, owner: a, annotations: {n: 1}}`),
			"allOf[0].annotations: number does not fit: write a string"},
		"creator": {allOf(
			`{kind: githubAction, owner: a, annotations: {creator: cosign}}`),
			"allOf[0].annotations[creator]: can never hold"},
		"timestamp": {allOf(
			`{kind: githubAction, owner: a, annotations: {timestamp: "1"}}`),
			"allOf[0].annotations[timestamp]: can never hold"},
		"one twice": {allOf(github + ", " + github),
			"allOf[1]: demands the same as allOf[0]"},
		"one key twice": {anyOf("minimumMatches: 2, ", pubKey,
			strings.Replace(pubKey, "{", "{owner: b, ", 1)),
			"anyOf.signatures[1]: demands the same as anyOf.signatures[0]"},
		"a key counted twice": {anyOf("minimumMatches: 2, ", pubKey,
			strings.Replace(pubKey, "{", "{annotations: {a: b}, ", 1)),
			"anyOf.signatures[1]: has the key of anyOf.signatures[0], which would count twice"},
		"too many": {allOf(strings.Repeat(github+", ", 33)),
			"allOf: has 33 entries, at most 32 are allowed"},
		"too many pairs": {allOf(`{kind: githubAction, owner: a, annotations: {` + pairs(33) +
			`}}`), "allOf[0].annotations: has 33 entries, at most 32 are allowed"},
		"too large": {allOf(github) + strings.Repeat("#", verification.MaxConfigBytes),
			"at most 262144 are allowed: make it smaller"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verification.ParseConfig([]byte(c.document))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n", "one problem is one line")
		})
	}
	_, err := verification.ParseConfig([]byte(allOf(`{kind: pubKey}, {kind: githubAction}`)))
	require.Len(t, strings.Split(err.Error(), "\n"), 2, "all problems are named")
}

func pairs(count int) string {
	var all []string
	for n := range count {
		all = append(all, fmt.Sprintf("k%d: v", n))
	}
	return strings.Join(all, ", ")
}

func TestPrefixesAreNormalized(t *testing.T) {
	for prefix, want := range map[string]string{
		"https://github.com":             "https://github.com/",
		"https://github.com/org":         "https://github.com/org/",
		"https://github.com/org/":        "https://github.com/org/",
		"https://GitHub.com/Org":         "https://github.com/Org/",
		"HTTPS://github.com:443/org":     "https://github.com/org/",
		"http://a.example.com:80":        "http://a.example.com/",
		"https://a.example.com:8443/x":   "https://a.example.com:8443/x/",
		"https://a.example.com:/x":       "https://a.example.com/x/",
		"https://github.com/a/../org":    "https://github.com/org/",
		"https://github.com/../../org":   "https://github.com/org/",
		"https://github.com/./org/.":     "https://github.com/org/",
		"https://[::1]:443/x":            "https://[::1]/x/",
		"spiffe://cluster.example.com/a": "spiffe://cluster.example.com/a/",
	} {
		config, err :=
			verification.ParseConfig(
				[]byte(
					`{"apiVersion": "v1", "allOf": [{"kind": "genericIssuer", "issuer": "i", "subject": {"urlPrefix": "` +
						prefix + `"}}]}`))
		require.NoError(t, err, prefix)
		require.Equal(t, want, config.AllOf[0].Subject.URLPrefix, prefix)
	}
}

func FuzzParseConfig(f *testing.F) {
	_, key := newKey(f)
	f.Add([]byte("apiVersion: v1\nallOf: [{kind: pubKey, key: " + indented(key) + "}]\n"))
	f.Add(
		[]byte(
			"apiVersion: v1\nanyOf: {minimumMatches: 1, signatures: [{kind: githubAction, owner: a, repo: b}]}\n"))
	f.Add(
		[]byte(
			`{"apiVersion": "v1", "allOf": [{"kind": "genericIssuer", "issuer": "i", "subject": {"urlPrefix": "https://a/b"}, "annotations": {"a": "b"}}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		config, err := verification.ParseConfig(document)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.True(t, len(config.AllOf) > 0 || config.AnyOf != nil &&
			config.AnyOf.MinimumMatches > 0 &&
			config.AnyOf.MinimumMatches <= len(config.AnyOf.Signatures),
			"what is accepted demands something")
	})
}
