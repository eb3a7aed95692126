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

package crypto_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/x509roots/fallback/bundle"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/crypto"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// issued is a certificate with its key.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue creates a certificate signed by another, or self-signed. It is valid for a month around now
// unless change sets other dates.
func issue(t testing.TB, name string, ca bool, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(0, 0, -15), NotAfter: now.AddDate(0, 0, 15),
		IsCA: ca, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if change != nil {
		change(template)
	}
	parent, parentKey := template, key
	if by != nil {
		parent, parentKey = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &issued{certificate, key}
}

// wire is a certificate as guests send it: its bytes are numbers.
type wire struct {
	Encoding string `json:"encoding"`
	Data     []int  `json:"data"`
}

func encoded(encoding string, data []byte) wire {
	w := wire{Encoding: encoding}
	for _, b := range data {
		w.Data = append(w.Data, int(b))
	}
	return w
}

func asDER(i *issued) wire { return encoded("Der", i.Raw) }

func asPEM(i *issued) wire {
	return encoded("Pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Raw}))
}

// asked is a request in the form that guests send.
type asked struct {
	Cert      wire   `json:"cert"`
	CertChain []wire `json:"cert_chain"`
	NotAfter  string `json:"not_after"`
}

func call(t testing.TB, request any) (string, error) {
	t.Helper()
	payload, err := json.Marshal(request)
	require.NoError(t, err)
	answer, err := crypto.New(clocktesting.NewFakePassiveClock(now)).
		Call(t.Context(), &capabilities.Caller{}, "v1/is_certificate_trusted", payload)
	return string(answer), err
}

func TestVerdicts(t *testing.T) {
	const (
		trusted   = `{"trusted":true,"reason":""}`
		unknown   = `{"trusted":false,"reason":"Certificate is not trusted by the provided cert chain"}`
		expired   = `{"trusted":false,"reason":"Certificate is being used after its expiration date"}`
		notYet    = `{"trusted":false,"reason":"Certificate is being used before its validity date"}`
		otherwise = `{"trusted":false,"reason":"Certificate not trusted: `
	)
	root := issue(t, "root", true, nil, nil)
	intermediate := issue(t, "intermediate", true, root, nil)
	leaf := issue(t, "leaf", false, intermediate, nil)
	direct := issue(t, "direct", false, root, nil)
	stranger := issue(t, "root", true, nil, nil)
	old := issue(t, "old root", true, nil, func(c *x509.Certificate) {
		c.NotAfter = now.AddDate(0, 0, -1)
	})
	byOld := issue(t, "by old", false, old, nil)
	critical := issue(t, "critical", false, root, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{
			Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0},
		}}
	})

	for _, test := range []struct {
		name    string
		request asked
		want    string
	}{
		{"in DER", asked{asDER(leaf), []wire{asDER(intermediate), asDER(root)}, ""}, trusted},
		{"in PEM", asked{asPEM(leaf), []wire{asPEM(intermediate), asPEM(root)}, ""}, trusted},
		{"by the root alone", asked{asPEM(direct), []wire{asDER(root)}, ""}, trusted},
		{"intermediate missing", asked{asDER(leaf), []wire{asDER(root)}, ""}, unknown},
		{"root not last", asked{asDER(direct), []wire{asDER(root), asDER(intermediate)}, ""},
			unknown},
		{"another root of that name", asked{asDER(direct), []wire{asDER(stranger)}, ""}, unknown},
		{"empty chain", asked{asDER(direct), []wire{}, ""}, unknown},
		{"roots of Mozilla", asked{asDER(direct), nil, ""}, unknown},
		{"after it", asked{asDER(direct), []wire{asDER(root)}, "2026-07-01T00:00:00Z"}, expired},
		{"before it", asked{asDER(direct), []wire{asDER(root)}, "2026-05-01T00:00:00+02:00"},
			notYet},
		{"within it", asked{asDER(direct), []wire{asDER(root)}, "2026-06-10T00:00:00Z"}, trusted},
		{"root expired", asked{asDER(byOld), []wire{asDER(old)}, ""}, trusted},
		{"unknown critical extension", asked{asDER(critical), []wire{asDER(root)}, ""}, otherwise},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, err := call(t, test.request)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(answer, test.want), answer)
		})
	}
}

func TestMozillasRootsAreTrusted(t *testing.T) {
	for root := range bundle.Roots() {
		parsed, err := x509.ParseCertificate(root.Certificate)
		require.NoError(t, err)
		if root.Constraint != nil || !now.Before(parsed.NotAfter) || !now.After(parsed.NotBefore) {
			continue
		}
		answer, err := call(t, asked{Cert: encoded("Der", root.Certificate)})
		require.NoError(t, err)
		require.JSONEq(t, `{"trusted":true,"reason":""}`, answer, parsed.Subject)
		return
	}
	t.Fatal("there are no roots")
}

func TestErrors(t *testing.T) {
	root := issue(t, "root", true, nil, nil)
	many := make([]wire, 33)
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	// A key of 8,200 bits takes long to generate. A modulus of that size is enough to be refused.
	large.N.SetBit(large.N, 8199, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now}
	huge, err := x509.CreateCertificate(rand.Reader, template, root.Certificate, &large.PublicKey,
		root.key)
	require.NoError(t, err)

	for _, test := range []struct {
		name    string
		request any
		err     string
	}{
		{"no object", "x", "the payload is not a request to verify a certificate: "},
		{"number out of range", map[string]any{
			"cert": map[string]any{"encoding": "Der", "data": []int{256}},
		}, "the payload is not a request to verify a certificate: "},
		{"chain is no list", map[string]any{"cert": asDER(root), "cert_chain": "x"},
			"cert_chain is not a list of certificates"},
		{"chain is too long", asked{asDER(root), many, ""},
			"cert_chain has more than 32 certificates"},
		{"time", asked{asDER(root), nil, "tomorrow"}, "not_after: "},
		{"nothing", asked{}, `cert: encoding "" is neither Pem nor Der`},
		{"encoding", asked{encoded("PEM", root.Raw), nil, ""},
			`cert: encoding "PEM" is neither Pem nor Der`},
		{"no PEM", asked{encoded("Pem", root.Raw), nil, ""},
			"cert: there is no certificate in PEM"},
		{"a key in PEM", asked{
			encoded("Pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: root.Raw})),
			nil,
			"",
		}, "cert: there is no certificate in PEM"},
		{"no DER", asked{encoded("Der", root.Raw[1:]), nil, ""}, "cert: "},
		{"broken chain", asked{asDER(root), []wire{asDER(root), encoded("Der", nil)}, ""},
			"cert_chain[1]: "},
		{"large certificate", asked{encoded("Der", make([]byte, 64<<10+1)), nil, ""},
			"cert: the certificate has 65537 bytes: at most 65536 are allowed"},
		{"large key", asked{encoded("Der", huge), nil, ""},
			"cert: the certificate's RSA key has 8200 bits: at most 8192 are allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, err := call(t, test.request)
			require.Empty(t, answer)
			require.ErrorContains(t, err, test.err)
		})
	}
	_, err = crypto.New(nil).Call(t.Context(), &capabilities.Caller{}, "v2/is_certificate_trusted",
		nil)
	require.EqualError(t, err, "unknown operation: v2/is_certificate_trusted")
}

// Some guests' JSON libraries encode bytes in base64.
func TestBase64(t *testing.T) {
	root := issue(t, "root", true, nil, nil)
	answer, err := call(t, map[string]any{
		"cert":       map[string]any{"encoding": "Der", "data": root.Raw},
		"cert_chain": []any{map[string]any{"encoding": "Der", "data": root.Raw}},
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"trusted":true,"reason":""}`, answer)
}

func FuzzCall(f *testing.F) {
	root := issue(f, "root", true, nil, nil)
	leaf := issue(f, "leaf", false, root, nil)
	for _, request := range []asked{
		{asDER(leaf), []wire{asPEM(root)}, "2026-06-10T00:00:00Z"}, {asPEM(leaf), nil, ""},
	} {
		seed, err := json.Marshal(request)
		require.NoError(f, err)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		answer, err := crypto.New(nil).Call(t.Context(), &capabilities.Caller{},
			"v1/is_certificate_trusted", payload)
		require.Equal(t, err == nil, json.Valid(answer))
	})
}
