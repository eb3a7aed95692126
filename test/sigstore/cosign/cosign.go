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

// Package cosign runs the real cosign in tests.
package cosign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Kinds are the kinds of keys that cosign supports.
var Kinds = []string{"p256", "p384", "p521", "rsa2048", "rsa3072", "ed25519"}

// Cosign runs the program in its own directory, without a log and without timestamps.
type Cosign struct {
	// Directory is the working directory, to which cosign also writes files.
	Directory string

	t      testing.TB
	binary string
}

// New returns the cosign that `make cosign` builds. Without it, the test is skipped, because
// building it takes minutes.
func New(t testing.TB) *Cosign {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	binary := filepath.Join(filepath.Dir(file), "..", "..", "..", ".cache", "cosign", "cosign")
	if _, err := os.Stat(binary); err != nil {
		t.Skip("cosign is missing: run make cosign")
	}
	c := &Cosign{Directory: t.TempDir(), t: t, binary: binary}
	c.Must("signing-config", "create", "--out", "signing-config.json")
	return c
}

// Run runs cosign with arguments. The error contains the last line of output.
func (c *Cosign) Run(arguments ...string) error {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), c.binary, arguments...)
	command.Dir = c.Directory
	// Do not use the user's files, and do not contact a TUF repository.
	command.Env = []string{
		"HOME=" + c.Directory, "PATH=" + os.Getenv("PATH"), "COSIGN_PASSWORD=",
		"SIGSTORE_NO_CACHE=true",
	}
	output, err := command.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return fmt.Errorf("cosign %s: %w: %s", arguments[0], err, lines[len(lines)-1])
	}
	return nil
}

// Must runs cosign, which must succeed.
func (c *Cosign) Must(arguments ...string) {
	c.t.Helper()
	require.NoError(c.t, c.Run(arguments...))
}

// Path returns the path of a file in the directory.
func (c *Cosign) Path(name string) string { return filepath.Join(c.Directory, name) }

// Read returns a file in the directory.
func (c *Cosign) Read(name string) []byte {
	c.t.Helper()
	content, err := os.ReadFile(c.Path(name))
	require.NoError(c.t, err)
	return content
}

// Write writes a file to the directory.
func (c *Cosign) Write(name string, content []byte) {
	c.t.Helper()
	require.NoError(c.t, os.WriteFile(c.Path(name), content, 0o600))
}

// Key generates a key of a kind, writes it to NAME.key and NAME.pub, and returns the public key in
// PEM.
func (c *Cosign) Key(kind, name string) []byte {
	c.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(newKey(c.t, kind))
	require.NoError(c.t, err)
	c.Write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	c.Must("import-key-pair", "--key", name+".pem", "--output-key-prefix", name)
	return c.Read(name + ".pub")
}

func newKey(t testing.TB, kind string) (key crypto.PrivateKey) {
	t.Helper()
	var err error
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "rsa2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa3072":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	require.NoError(t, err)
	return key
}

// Sign signs an image by digest with a key, in the format of cosign 2 if old is set.
func (c *Cosign) Sign(name, reference string, old bool, more ...string) {
	c.t.Helper()
	arguments := []string{"sign", "--yes", "--key", name + ".key", "--allow-http-registry"}
	if old {
		arguments = append(arguments, "--use-signing-config=false", "--tlog-upload=false",
			"--new-bundle-format=false")
	} else {
		arguments = append(arguments, "--signing-config", "signing-config.json")
	}
	c.Must(append(append(arguments, more...), reference)...)
}

// SignFile signs a file in the directory, and writes FILE.sigstore.json beside it.
func (c *Cosign) SignFile(name, file string) {
	c.t.Helper()
	c.Must("sign-blob", "--yes", "--key", name+".key", "--signing-config", "signing-config.json",
		"--bundle", file+".sigstore.json", file)
}

// Verify verifies an image with cosign.
func (c *Cosign) Verify(name, reference string, more ...string) error {
	c.t.Helper()
	arguments := []string{
		"verify", "--key", name + ".pub", "--insecure-ignore-tlog", "--allow-http-registry",
	}
	return c.Run(append(append(arguments, more...), reference)...)
}

// VerifyFile verifies a file in the directory with cosign.
func (c *Cosign) VerifyFile(name, file, bundle string) error {
	c.t.Helper()
	return c.Run("verify-blob", "--key", name+".pub", "--insecure-ignore-tlog", "--bundle", bundle,
		file)
}
