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
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// parseKey parses a PEM public key.
func parseKey(text []byte) (crypto.PublicKey, error) {
	if err := bounded("the key", len(text), MaxKeyBytes); err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key is not in PEM (-----BEGIN PUBLIC KEY-----)")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("something follows the key: give one key at a time")
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, err
	}
	return key, verification.CheckKey(key)
}

// verifiers returns a verifier for each way in which a key may have signed. A bundle does not state
// the way reliably, and cosign has changed its ways: P-384 and P-521 keys used to sign SHA-256. If
// only the SHA-256 digest of a message is known, the ways that need more are omitted. Plain Ed25519
// above all would ignore the digest and verify the empty message.
func verifiers(key crypto.PublicKey, digestOnly bool) ([]signature.Verifier, error) {
	var all []signature.Verifier
	var failed error
	add := func(v signature.Verifier, err error) {
		failed = errors.Join(failed, err)
		all = append(all, v)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		add(signature.LoadRSAPKCS1v15Verifier(key, crypto.SHA256))
		add(signature.LoadRSAPSSVerifier(key, crypto.SHA256, &rsa.PSSOptions{Hash: crypto.SHA256}))
	case *ecdsa.PublicKey:
		if own := ownHash(key.Curve); own != crypto.SHA256 && !digestOnly {
			add(signature.LoadECDSAVerifier(key, own))
		}
		add(signature.LoadECDSAVerifier(key, crypto.SHA256))
	case ed25519.PublicKey:
		if digestOnly {
			return nil, errors.New(
				"a signature by Ed25519 of a file can only be verified with the file's content")
		}
		add(signature.LoadED25519Verifier(key))
		add(signature.LoadED25519phVerifier(key))
	}
	return all, failed
}

// ownHash returns the hash that belongs to a curve.
func ownHash(curve elliptic.Curve) crypto.Hash {
	switch curve {
	case elliptic.P384():
		return crypto.SHA384
	case elliptic.P521():
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

// errForeignKey says that the key did not sign.
var errForeignKey = errors.New("not verified: the key has not signed this")

// anyWay accepts a signature that any of the verifiers for one key accepts. It supports one caller
// at a time.
type anyWay struct {
	key crypto.PublicKey
	all []signature.Verifier
	// refused reports that no verifier accepted the signature. For an envelope, the library's own
	// error for that is hard to understand.
	refused bool
}

func (a *anyWay) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return a.key, nil
}

// ValidAtTime returns true, because a configured key is trusted until it is removed.
func (a *anyWay) ValidAtTime(time.Time) bool { return true }

func (a *anyWay) VerifySignature(sig, message io.Reader, options ...signature.VerifyOption) error {
	signed, err := io.ReadAll(sig)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	for _, v := range a.all {
		if v.VerifySignature(bytes.NewReader(signed), bytes.NewReader(content), options...) == nil {
			return nil
		}
	}
	a.refused = true
	return errForeignKey
}

// onlyKey returns trusted material with one key, which it returns for any hint of a bundle.
func onlyKey(key crypto.PublicKey, digestOnly bool) (root.TrustedMaterial, *anyWay, error) {
	all, err := verifiers(key, digestOnly)
	if err != nil {
		return nil, nil, err
	}
	way := &anyWay{key: key, all: all}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return way, nil
	}), way, nil
}
