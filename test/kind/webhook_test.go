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

package kind

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// webhook installs deploy/webhook/manifests.yaml in a cluster whose server does not have the
// plugin.
func (c *cluster) webhook(t *testing.T, r *release) {
	node := c.nodes[0]
	must(t, "kind", "load", "image-archive", "--name", c.name, r.webhookArchive)
	manifest, err := os.ReadFile(filepath.Join(r.manifests, "webhook", "manifests.yaml"))
	require.NoError(t, err)
	host := c.serveModules(t, node)
	const state = "stateDirectory: /var/lib/wasm-admission/state\n"
	const noPolicies = "data:\n  {}\n"
	text := string(manifest)
	require.Contains(t, text, state)
	require.Contains(t, text, noPolicies)
	text = strings.Replace(text, state, state+"    sources: {insecure: ['"+host+"']}\n", 1)
	shipped := strings.ReplaceAll(about("pod-privileged", "pod-privileged").String(),
		location("pod-privileged"), "http://"+host+"/pod-privileged/policy.wasm")
	text = strings.Replace(text, noPolicies, "data:\n  pod-privileged.yaml: |\n    "+
		strings.ReplaceAll(strings.TrimSpace(shipped), "\n", "\n    ")+"\n", 1)
	c.write(t, "", "webhook.yaml", text)

	c.kubectl(t, "create", "namespace", "wasm-admission")
	c.kubectl(t,
		append([]string{"--namespace", "wasm-admission", "create", "secret", "generic",
			"wasm-admission-webhook-tls",
			"--type", "kubernetes.io/tls"},
			certificates(t, "wasm-admission-webhook.wasm-admission.svc")...)...)
	c.kubectl(t, "apply", "--filename", c.path("", "webhook.yaml"))
	c.becomes(t, "running", func() (bool, string) { return c.podsRun(t, "wasm-admission") })
	const refusal = "Privileged container is not allowed"
	c.becomes(t, "refused", func() (bool, string) {
		output, err := c.apply(t, pod("shop", "webhook", true), dryRun)
		return err != nil && strings.Contains(output, refusal), output
	})
	c.requireAdmitted(t, pod("shop", "webhook", false), dryRun)

	// While a replica restarts, no violating request may be admitted.
	c.kubectl(t, "--namespace", "wasm-admission", "rollout", "restart",
		"deployment/wasm-admission-webhook")
	for done := false; !done; {
		output, err := c.apply(t, pod("shop", "webhook", true), dryRun)
		require.Error(t, err, output)
		status := c.kubectl(t, "--namespace", "wasm-admission", "rollout", "status",
			"deployment/wasm-admission-webhook", "--watch=false")
		done = strings.Contains(status, "successfully rolled out")
	}

	c.kubectl(t, "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration",
		"wasm-admission")
	c.kubectl(t, "delete", "--filename", c.path("", "webhook.yaml"))
	c.requireAdmitted(t, pod("shop", "webhook", true), dryRun)
}

// serveModules serves test/policies to the Pods on a node, and returns the address.
func (c *cluster) serveModules(t *testing.T, node string) string {
	t.Helper()
	// Only the node itself has a route to its Pods.
	must(t, "ip", "route", "replace", "10.244.0.0/24", "via", c.address(t, node))
	listener, err := net.Listen("tcp", net.JoinHostPort(c.gateway(t), "0"))
	require.NoError(t, err)
	server := &http.Server{
		Handler:           http.FileServer(http.Dir(filepath.Join(root(t), "test/policies"))),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// certificates returns the kubectl arguments for a Secret with a certificate, its key and its
// authority.
func certificates(t *testing.T, name string) (arguments []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	directory := t.TempDir()
	for file, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: certificate},
		"ca.crt":  {Type: "CERTIFICATE", Bytes: certificate},
		"tls.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t,
			os.WriteFile(filepath.Join(directory, file), pem.EncodeToMemory(block), 0o600))
		arguments = append(arguments, "--from-file", filepath.Join(directory, file))
	}
	return arguments
}
