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

package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/digitorus/timestamp"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	rekortiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"
)

// instance serves a forge on loopback for cosign: an authority that accepts every token, a Rekor 2
// log with one entry at a time, and a timestamp authority. The answers are real, but the instance
// omits the checks that real servers make on requests.
type instance struct {
	*forge
	t       testing.TB
	server  *httptest.Server
	logKey  *ecdsa.PrivateKey
	logID   [sha256.Size]byte
	tsa     *root.SigstoreTimestampingAuthority
	tsaKey  *ecdsa.PrivateKey
	request request
}

func newInstance(t testing.TB) *instance {
	t.Helper()
	i := &instance{forge: newForge(t), t: t}
	i.logKey, i.logID = newLog(t)
	middle, middleKey, err := ca.GenerateTSAIntermediate(i.top, i.topKey)
	require.NoError(t, err)
	i.tsaKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf, err := ca.GenerateTSALeafCert(time.Now().Add(-time.Minute), i.tsaKey, middle, middleKey)
	require.NoError(t, err)
	i.tsa = &root.SigstoreTimestampingAuthority{
		Root: i.top, Intermediates: []*x509.Certificate{middle}, Leaf: leaf,
		ValidityPeriodStart: time.Now().Add(-time.Hour), URI: "https://tsa.localhost",
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", i.certify)
	mux.HandleFunc("POST /api/v2/log/entries", i.enter)
	mux.HandleFunc("POST /api/v1/timestamp", i.timestamp)
	i.server = httptest.NewServer(mux)
	t.Cleanup(i.server.Close)
	return i
}

// trustedRoot returns the trust root for the instance's clients.
func (i *instance) trustedRoot() *parts {
	p := i.parts()
	p.timestamps = []root.TimestampingAuthority{i.tsa}
	p.logs = map[string]*root.TransparencyLog{hex.EncodeToString(i.logID[:]): {
		BaseURL: i.server.URL, ID: i.logID[:], ValidityPeriodStart: time.Now().Add(-time.Hour),
		HashFunc: crypto.SHA256, PublicKey: i.logKey.Public(), SignatureHashFunc: crypto.SHA256,
	}}
	return p
}

// token returns a token in the form that an issuer would create.
func (i *instance) token() string {
	encode := func(v any) string { return base64.RawURLEncoding.EncodeToString(mustJSON(i.t, v)) }
	return strings.Join([]string{encode(map[string]string{"alg": "ES256"}), encode(map[string]any{
		"iss": testIssuer, "sub": testEmail, "email": testEmail, "email_verified": true,
		"aud": "sigstore",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}), "AAAA"}, ".")
}

// publicOnly is a public key without its private key.
type publicOnly struct{ crypto.PublicKey }

func (p publicOnly) Public() crypto.PublicKey { return p.PublicKey }
func (publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

func (i *instance) certify(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		PublicKeyRequest struct {
			PublicKey struct {
				Content string `json:"content"`
			} `json:"publicKey"`
		} `json:"publicKeyRequest"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key, err := parseKey([]byte(asked.PublicKeyRequest.PublicKey.Content))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wanted := i.request
	wanted.key = publicOnly{key}
	leaf, _ := i.leaf(i.t, wanted)
	var chain []string
	for _, c := range []*x509.Certificate{leaf, i.authority, i.top} {
		chain = append(chain, string(pemOf("CERTIFICATE", c.Raw)))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"signedCertificateEmbeddedSct": map[string]any{
			"chain": map[string]any{"certificates": chain},
		},
	})
}

func (i *instance) timestamp(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: time.Now(),
		Nonce:  asked.Nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, SerialNumber: big.NewInt(9),
		AddTSACertificate: asked.Certificates,
	}
	response, err := stamp.CreateResponseWithOpts(i.tsa.Leaf, i.tsaKey, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(response)
}

func (i *instance) enter(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var asked rekortiles.CreateEntryRequest
	if err == nil {
		err = protojson.Unmarshal(body, &asked)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entry, err := i.entry(asked.GetHashedRekordRequestV002())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	content, err := protojson.Marshal(entry)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(content)
}

// entry returns the entry of a Rekor 2 log that holds nothing else.
func (i *instance) entry(asked *rekortiles.HashedRekordRequestV002) (*protorekor.TransparencyLogEntry,
	error) {
	plain, err := protojson.Marshal(&rekortiles.Entry{ApiVersion: "0.0.2", Kind: "hashedrekord",
		Spec: &rekortiles.Spec{
			Spec: &rekortiles.Spec_HashedRekordV002{HashedRekordV002: &rekortiles.HashedRekordLogEntryV002{
				Data: &protocommon.HashOutput{
					Algorithm: protocommon.HashAlgorithm_SHA2_256,
					Digest:    asked.GetDigest(),
				},
				Signature: asked.GetSignature(),
			}},
		}})
	if err != nil {
		return nil, err
	}
	body, err := jsoncanonicalizer.Transform(plain)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(i.server.URL)
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadECDSASignerVerifier(i.logKey, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	noteSigner, err := rekornote.NewNoteSigner(i.t.Context(), address.Hostname(), signer)
	if err != nil {
		return nil, err
	}
	hash := rfc6962.DefaultHasher.HashLeaf(body)
	checkpoint, err := note.Sign(&note.Note{
		Text: string(log.Checkpoint{Origin: address.Hostname(), Size: 1, Hash: hash}.Marshal()),
	}, noteSigner)
	if err != nil {
		return nil, err
	}
	return &protorekor.TransparencyLogEntry{
		LogId:             &protocommon.LogId{KeyId: i.logID[:]},
		KindVersion:       &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.2"},
		CanonicalizedBody: body,
		InclusionProof: &protorekor.InclusionProof{
			TreeSize:   1,
			RootHash:   hash,
			Checkpoint: &protorekor.Checkpoint{Envelope: string(checkpoint)},
		},
	}, nil
}
