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

package module

import (
	"crypto/x509"
	"fmt"

	certutil "k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

// maxSettingsFileBytes bounds a file of certificates or credentials.
const maxSettingsFileBytes = 1 << 20

// readAuthorities reads and concatenates files of certificates. Each file must contain at least
// one.
func readAuthorities(files []string) ([]byte, error) {
	var all []byte
	for _, file := range files {
		pem, err := safefile.Read(file, maxSettingsFileBytes)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		if _, err := certutil.ParseCertsPEM(pem); err != nil {
			return nil, fmt.Errorf("read certificates from %s: %w", file, err)
		}
		all = append(append(all, pem...), '\n')
	}
	return all, nil
}

// certPool returns the system's authorities plus those in pem.
func certPool(pem []byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	certificates, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		return nil, err
	}
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool, nil
}
