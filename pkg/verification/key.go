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

package verification

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// Bounds on the size of RSA keys in bits. Smaller keys can be broken, and a check with a larger one
// takes milliseconds.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// CheckKey returns an error unless signatures are verified with keys of this kind and size: RSA of
// [MinRSABits] to [MaxRSABits], ECDSA on P-256, P-384 or P-521, and Ed25519.
func CheckKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("the RSA key has %d bits: use one of %d to %d", bits, MinRSABits,
				MaxRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() &&
			key.Curve != elliptic.P521() {
			return fmt.Errorf("the ECDSA key is on curve %s: use P-256, P-384 or P-521",
				key.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("the key is a %T: use RSA, ECDSA or Ed25519", key)
	}
	return nil
}
