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
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

const (
	actions  = "https://token.actions.githubusercontent.com"
	workflow = "https://github.com/kubewarden/policy/.github/workflows/release.yml@refs/tags/v1"
)

var artifact = verification.Artifact{Digest: "sha256:" + strings.Repeat("ab", 32)}

// stated verifies keys with the standard library, and trusts the identity that a payload states.
type stated struct{ checks int }

type statement struct {
	Annotations map[string]string
	Identity    *verification.CertificateIdentity
}

func (s *stated) TrustRoot() string { return "root" }

func (s *stated) Key(_ context.Context, c *verification.Candidate, _ verification.Artifact,
	key []byte) (*verification.Signed, error) {
	s.checks++
	block, _ := pem.Decode(key)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(c.Payload)
	if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), sum[:], c.Signature) {
		return nil, errors.New("wrong signature")
	}
	return s.read(c)
}

func (s *stated) Keyless(_ context.Context, c *verification.Candidate,
	_ verification.Artifact) (*verification.Signed, error) {
	s.checks++
	if c.Signature != nil {
		return nil, errors.New("no certificate")
	}
	return s.read(c)
}

func (s *stated) Certificate(context.Context, *verification.Candidate, verification.Artifact,
	[]byte, [][]byte, bool) (*verification.Signed, error) {
	return nil, errors.ErrUnsupported
}

func (*stated) read(c *verification.Candidate) (*verification.Signed, error) {
	var s statement
	err := json.Unmarshal(c.Payload, &s)
	return &verification.Signed{Annotations: s.Annotations, Identity: s.Identity}, err
}

// by returns a candidate signed by a key. A nil key makes it keyless.
func by(t testing.TB, place string, key *ecdsa.PrivateKey, s statement) *verification.Candidate {
	t.Helper()
	payload, err := json.Marshal(s)
	require.NoError(t, err)
	c := &verification.Candidate{Place: place, Payload: payload}
	if key != nil {
		sum := sha256.Sum256(payload)
		c.Signature, err = ecdsa.SignASN1(rand.Reader, key, sum[:])
		require.NoError(t, err)
	}
	return c
}

func identity(issuer, source string, subjects ...string) statement {
	return statement{
		Identity: &verification.CertificateIdentity{
			Issuer:           issuer,
			Subjects:         subjects,
			SourceRepository: source,
		},
	}
}

func sequence(candidates ...*verification.Candidate) iter.Seq2[*verification.Candidate, error] {
	return func(yield func(*verification.Candidate, error) bool) {
		for _, c := range candidates {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func demand(t testing.TB, document string) verification.Demand {
	t.Helper()
	config, err := verification.ParseConfig([]byte("apiVersion: v1\n" + document))
	require.NoError(t, err)
	return verification.Demand{Name: "verification.config", Config: config}
}

func TestIdentitiesAreCompared(t *testing.T) {
	const issuer = "https://issuer.example.com"
	github := "allOf: [{kind: githubAction, owner: kubewarden, repo: policy}]"
	owner := "allOf: [{kind: githubAction, owner: kubewarden}]"
	equal := "allOf: [{kind: genericIssuer, issuer: " + issuer +
		", subject: {equal: mail@example.com}}]"
	prefix := "allOf: [{kind: genericIssuer, issuer: " + issuer +
		", subject: {urlPrefix: https://github.com/org}}]"
	const source = "https://github.com/kubewarden/policy"
	for name, c := range map[string]struct {
		demand string
		signed statement
		want   string // in the error; "" means accepted
	}{
		"repository": {github, identity(actions, source, workflow), ""},
		"owner":      {owner, identity(actions, source, workflow), ""},
		"another issuer": {github, identity(issuer, source, workflow),
			`wants issuer "` + actions},
		"no source": {github, identity(actions, "", workflow),
			"wants a workflow of kubewarden/policy on github.com"},
		"another source": {github,
			identity(actions, "https://github.com/kubewarden/other", workflow),
			"wants a workflow of kubewarden/policy"},
		"source of another owner": {owner,
			identity(actions, "https://github.com/evil/policy", workflow),
			"wants a workflow of kubewarden/*"},
		"workflow of another owner": {owner,
			identity(actions, source, "https://github.com/evil/policy/.github/workflows/a.yml@x"),
			"wants a workflow of kubewarden/*"},
		"owner's longer name": {owner,
			identity(actions, source, "https://github.com/kubewarden-evil/policy/a"),
			"wants a workflow of kubewarden/*"},
		"repository's longer name": {github,
			identity(actions, source, "https://github.com/kubewarden/policy-evil/a"),
			"wants a workflow of kubewarden/policy"},
		"another host": {github,
			identity(actions, source, "https://github.com.example.com/kubewarden/policy/a"),
			"wants a workflow"},
		"a way up": {owner,
			identity(actions, source, "https://github.com/kubewarden/../evil/a"),
			"wants a workflow"},
		"an escaped way up": {owner,
			identity(actions, source, "https://github.com/kubewarden/a/%2e%2e/%2e%2e/evil"),
			"wants a workflow"},
		"owner in other letters": {owner,
			identity(actions, source, "https://github.com/Kubewarden/policy/a"),
			"wants a workflow"},
		"no repository": {owner,
			identity(actions, "https://github.com/kubewarden", workflow), "wants a workflow"},
		"equal": {equal, identity(issuer, "", "mail@example.com"), ""},
		"equal, longer": {equal, identity(issuer, "", "mail@example.com.evil.com"),
			`wants subject "mail@example.com"`},
		"equal, later": {equal,
			identity(issuer, "", "evil@example.com", "mail@example.com"),
			`wants subject "mail@example.com"`},
		"equal, another issuer": {equal, identity(issuer+".evil.com", "", "mail@example.com"),
			`wants issuer "` + issuer},
		"prefix": {prefix, identity(issuer, "", "https://github.com/org/repo"),
			""},
		"prefix alone": {prefix, identity(issuer, "", "https://github.com/org/"), ""},
		"prefix without its slash": {prefix, identity(issuer, "", "https://github.com/org"),
			`begins with "https://github.com/org/"`},
		"prefix of a longer name": {prefix,
			identity(issuer, "", "https://github.com/org-evil/repo"),
			`begins with "https://github.com/org/"`},
		"prefix in the middle": {prefix,
			identity(issuer, "", "https://evil.com/https://github.com/org/"),
			`begins with "https://github.com/org/"`},
		"prefix and a way up": {prefix,
			identity(issuer, "", "https://github.com/org/../evil"),
			`begins with "https://github.com/org/"`},
		"nobody": {equal, identity(issuer, ""),
			"the certificate names no subject"},
	} {
		t.Run(name, func(t *testing.T) {
			err := verification.Judge(t.Context(), &stated{}, artifact,
				sequence(by(t, "one", nil, c.signed)), demand(t, c.demand))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.ErrorAs(t, err, new(*verification.UnmetError))
		})
	}
}

func TestDemandsAreMet(t *testing.T) {
	a, keyA := newKey(t)
	b, keyB := newKey(t)
	c, keyC := newKey(t)
	pubKey := func(key, rest string) string {
		return "{kind: pubKey, key: " + indented(key) + rest + "}"
	}
	all := "allOf: [" + pubKey(keyA, "") + "," + pubKey(keyB, "") + "]"
	two := "anyOf: {minimumMatches: 2, signatures: [" + pubKey(keyA, "") + "," + pubKey(keyB, "") +
		"," + pubKey(keyC, "") + "]}"
	prod := "allOf: [" + pubKey(keyA, ", annotations: {env: prod, team: x}") + "]"
	signed := func(annotations ...string) (s statement) {
		s.Annotations = map[string]string{}
		for n := 0; n < len(annotations); n += 2 {
			s.Annotations[annotations[n]] = annotations[n+1]
		}
		return s
	}
	of := func(keys ...*ecdsa.PrivateKey) (candidates []*verification.Candidate) {
		for n, key := range keys {
			candidates = append(candidates, by(t, fmt.Sprintf("layer %d", n), key, signed()))
		}
		return candidates
	}
	for name, test := range map[string]struct {
		demand     string
		candidates []*verification.Candidate
		want       string
	}{
		"both keys":        {all, of(a, b), ""},
		"in another order": {all, of(c, b, a), ""},
		"one of both": {all, of(a),
			"no signature meets allOf[1] of verification.config: key sha256:"},
		"one twice":    {all, of(a, a), "no signature meets allOf[1] of"},
		"none":         {all, nil, "; none was found at all"},
		"two of three": {two, of(c, a), ""},
		"one of three": {two, of(c),
			"anyOf of verification.config (1 of 2 needed): key sha256:"},
		"one of three, twice": {two, of(c, c), "anyOf of verification.config (1 of 2 needed)"},
		"and a foreign key": {two,
			of(c, func() *ecdsa.PrivateKey { k, _ := newKey(t); return k }()),
			"found 2: layer 0: by key sha256:"},
		"annotations": {prod, []*verification.Candidate{
			by(t, "x", a, signed("env", "prod", "team", "x", "more", "y")),
		}, ""},
		"a wrong one": {prod, []*verification.Candidate{
			by(t, "x", a, signed("env", "dev", "team", "x")),
		}, `wants annotation "env" to be "prod", not "dev"`},
		"a missing one": {prod, []*verification.Candidate{
			by(t, "x", a, signed("env", "prod")),
		}, `wants annotation "team", which the signature does not cover`},
		"on another's": {prod, []*verification.Candidate{
			by(t, "x", b, signed("env", "prod", "team", "x")),
			by(t, "y", a, signed()),
		}, "which the signature does not cover"},
		"one each on two": {prod, []*verification.Candidate{
			by(t, "x", a, signed("env", "prod")),
			by(t, "y", a, signed("team", "x")),
		}, "which the signature does not cover"},
		"keyless only": {prod, []*verification.Candidate{
			by(t, "x", nil, identity(actions, "", workflow)),
		}, "x: not by key sha256:"},
		"lines in what is said": {prod, []*verification.Candidate{by(t, "a\nb\x00", b, signed())},
			"found 1: a b : not by key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := verification.Judge(t.Context(), &stated{}, artifact,
				sequence(test.candidates...), demand(t, test.demand))
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	both := of(a, b)
	metBy, err := verification.MetBy(t.Context(), &stated{}, artifact,
		sequence(append(both, both...)...), demand(t, all))
	require.NoError(t, err)
	require.Equal(t, both, metBy, "each once")
	err = verification.Judge(t.Context(), &stated{}, artifact, sequence(of(a, b)...),
		demand(t, all), demand(t, prod))
	require.ErrorContains(t, err, "no signature meets allOf[0] of verification.config",
		"all demands have to be met")
}

// Judge reads and checks only as many candidates as needed.
func TestCandidatesAreOpenedLazily(t *testing.T) {
	a, key := newKey(t)
	opened := 0
	candidates := func(yield func(*verification.Candidate, error) bool) {
		for {
			opened++
			if !yield(by(t, "x", a, statement{}), nil) {
				return
			}
		}
	}
	checker := &stated{}
	require.NoError(t,
		verification.Judge(t.Context(), checker, artifact, candidates,
			demand(t, "allOf: [{kind: pubKey, key: "+indented(key)+"}]")))
	require.Equal(t, 1, opened)
	require.Equal(t, 1, checker.checks)

	// Each candidate is checked once for each key, and once for identities.
	_, other := newKey(t)
	document := "allOf: [{kind: pubKey, key: " + indented(other) + "}, {kind: pubKey, key: " +
		indented(other) + ", annotations: {a: b}}, " +
		"{kind: githubAction, owner: a}, {kind: githubAction, owner: b}]"
	checker = &stated{}
	require.Error(t,
		verification.Judge(t.Context(), checker, artifact, sequence(by(t, "x", a, statement{})),
			demand(t, document)))
	require.Equal(t, 2, checker.checks)

	_, err := collect(t, slices.Repeat([]*verification.Candidate{by(t, "x", a, statement{})}, 2000),
		other)
	require.ErrorContains(t, err,
		"the signatures that were found would take more than 1000 checks: remove signatures that are not needed")
}

func collect(t *testing.T, candidates []*verification.Candidate, key string) (*stated, error) {
	t.Helper()
	checker := &stated{}
	return checker, verification.Judge(t.Context(), checker, artifact, sequence(candidates...),
		demand(t, "allOf: [{kind: pubKey, key: "+indented(key)+"}]"))
}

func TestWhatCannotBeReadIsNotUnsigned(t *testing.T) {
	a, key := newKey(t)
	down := errors.New("registry is down")
	d := demand(t, "allOf: [{kind: pubKey, key: "+indented(key)+"}]")
	places := func(last *verification.Candidate) iter.Seq2[*verification.Candidate, error] {
		return func(yield func(*verification.Candidate, error) bool) {
			_ = yield(nil, down) &&
				yield(nil, &verification.SkippedError{
					Place: "layer 0",
					Err:   errors.New("is too large"),
				}) && (last == nil || yield(last, nil))
		}
	}
	require.NoError(t,
		verification.Judge(t.Context(), &stated{}, artifact, places(by(t, "x", a, statement{})), d),
		"one is enough")
	err := verification.Judge(t.Context(), &stated{}, artifact, places(nil), d)
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err,
		"; found 1: layer 0: is too large; not everything could be read: registry is down")

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(down)
	require.Equal(t, down, verification.Judge(ctx, &stated{}, artifact, sequence(), d),
		"nothing is accepted, or refused, after the end")
}

func TestErrorsAreBounded(t *testing.T) {
	_, key := newKey(t)
	var all []*verification.Candidate
	for range 100 {
		other, _ := newKey(t)
		all = append(all, by(t, strings.Repeat("ä", 10000), other, statement{}))
	}
	_, err := collect(t, all, key)
	require.Less(t, len(err.Error()), 4096)
	require.ErrorContains(t, err, "; and 95 more")
	require.NotContains(t, err.Error(), "\ufffd")
}

func TestDigest(t *testing.T) {
	a := demand(t, "allOf: [{kind: githubAction, owner: a}]")
	b := demand(t, "allOf: [{kind: githubAction, owner: b}]")
	same := demand(t, "allOf:\n- owner: a\n  kind: githubAction\n")
	same.Name = "another"
	require.Equal(t, verification.Digest(a), verification.Digest(same))
	require.NotEqual(t, verification.Digest(a), verification.Digest(b))
	require.NotEqual(t, verification.Digest(a), verification.Digest(a, b))
	require.NotEqual(t, verification.Digest(a, b), verification.Digest(b, a))
}
