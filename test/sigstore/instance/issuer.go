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

package instance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// GitHub is the issuer of tokens for GitHub workflows.
const GitHub = "https://" + gitHubHost

const gitHubHost = "token.actions.githubusercontent.com"

// Issuer issues any token that is requested. It acts as two issuers: as itself for email addresses,
// and as GitHub. To make Fulcio contact it instead of GitHub, it is also Fulcio's proxy, and has a
// certificate that Fulcio trusts.
type Issuer struct {
	// URL is the issuer's own URL.
	URL string

	key         *rsa.PrivateKey
	authority   string // path of the certificate that Fulcio trusts
	proxy       string
	servers     []*http.Server
	certificate tls.Certificate
	github      net.Listener
}

// newIssuer starts an issuer.
func newIssuer(directory string) (*Issuer, error) {
	i := &Issuer{authority: filepath.Join(directory, "issuer.pem")}
	var err error
	if i.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if err := i.certify(); err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	if i.github, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, plain.Close(), proxy.Close())
	}
	i.URL, i.proxy = "http://"+plain.Addr().String(), "http://"+proxy.Addr().String()
	i.serve(plain, i.handler(i.URL))
	i.serve(proxy, http.HandlerFunc(i.connect))
	i.serve(tls.NewListener(i.github,
		&tls.Config{Certificates: []tls.Certificate{i.certificate}, MinVersion: tls.VersionTLS12}),
		i.handler(GitHub))
	return i, nil
}

func (i *Issuer) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	i.servers = append(i.servers, server)
	go func() { _ = server.Serve(listener) }() // returns after close
}

func (i *Issuer) close() (err error) {
	for _, server := range i.servers {
		err = errors.Join(err, server.Close())
	}
	return err
}

// certify creates the certificate with which the issuer poses as GitHub to Fulcio.
func (i *Issuer) certify() error {
	root, rootKey, err := certify(authority("issuer"), nil, nil)
	if err != nil {
		return err
	}
	template := authority(gitHubHost)
	template.IsCA, template.KeyUsage, template.DNSNames = false, x509.KeyUsageDigitalSignature,
		[]string{gitHubHost}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	var leaf *x509.Certificate
	var key *ecdsa.PrivateKey
	if leaf, key, err = certify(template, root, rootKey); err != nil {
		return err
	}
	i.certificate = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	return os.WriteFile(i.authority,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600)
}

// environment returns variables that make Fulcio contact the issuer instead of GitHub. Fulcio does
// not use the proxy for loopback addresses.
func (i *Issuer) environment() []string {
	return []string{"SSL_CERT_FILE=" + i.authority, "HTTPS_PROXY=" + i.proxy}
}

// connect is the proxy. It only serves the host of GitHub's issuer.
func (i *Issuer) connect(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if r.Method != http.MethodConnect || r.Host != gitHubHost+":443" || !ok {
		http.Error(w, "unknown host", http.StatusBadGateway)
		return
	}
	server, err := net.Dial("tcp", i.github.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := hijacker.Hijack()
	if err != nil {
		_ = server.Close() // nothing was sent
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n") // the client notices
	go pass(client, server)
	go pass(server, client)
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // both ends notice
	_ = to.Close()
}

// handler serves the OpenID Connect documents, and tokens without authentication at
// /token?email=ADDRESS and /token?repository=OWNER/NAME&workflow=FILE&ref=REF.
func (i *Issuer) handler(issuer string) http.Handler {
	mux := http.NewServeMux()
	answer := func(v any) http.HandlerFunc {
		// the client notices
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.Handle("GET /.well-known/openid-configuration", answer(map[string]any{
		"issuer": issuer, "jwks_uri": issuer + "/keys", "authorization_endpoint": issuer + "/auth",
		"token_endpoint":           issuer + "/token",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{
			"public",
		}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	mux.Handle("GET /keys", answer(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
		"n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes()),
	}}}))
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		token, err := i.Email(r.FormValue("email"))
		if repository := r.FormValue("repository"); repository != "" {
			token, err = i.Workflow(repository, r.FormValue("workflow"), r.FormValue("ref"))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, token)
	})
	return mux
}

// Email returns a token for an email address.
func (i *Issuer) Email(address string) (string, error) {
	return i.sign(i.URL, map[string]any{"sub": address, "email": address, "email_verified": true})
}

// Workflow returns a token for a GitHub workflow: its repository as OWNER/NAME, its file name, and
// the ref that it runs at, such as refs/heads/main.
func (i *Issuer) Workflow(repository, file, ref string) (string, error) {
	owner, _, _ := strings.Cut(repository, "/")
	workflow := repository + "/.github/workflows/" + file + "@" + ref
	const commit = "0123456789abcdef0123456789abcdef01234567"
	return i.sign(GitHub, map[string]any{
		"sub": "repo:" + repository + ":ref:" + ref, "repository": repository,
		"repository_owner": owner, "ref": ref, "sha": commit,
		"workflow": file, "workflow_ref": workflow, "workflow_sha": commit,
		"job_workflow_ref": workflow, "job_workflow_sha": commit,
		"event_name": "push", "run_id": "1", "run_attempt": "1", "repository_id": "2",
		"repository_owner_id":   "3",
		"repository_visibility": "public", "runner_environment": "github-hosted",
	})
}

// sign creates a signed token.
func (i *Issuer) sign(issuer string, claims map[string]any) (string, error) {
	all := map[string]any{
		"iss": issuer,
		"aud": "sigstore",
		"iat": time.Now().Unix(),
		"nbf": time.Now().Add(-time.Minute).Unix(),
		"exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(all, claims)
	content, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) +
		"." + base64.RawURLEncoding.EncodeToString(content)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), err
}

// fulcioConfig lists the issuers that Fulcio trusts. The entry for GitHub is the one of the public
// instance, without deployment environments.
func (i *Issuer) fulcioConfig() string {
	return strings.ReplaceAll(fulcioConfig, "ISSUER", i.URL)
}

const fulcioConfig = `oidc-issuers:
  ISSUER:
    issuer-url: ISSUER
    client-id: sigstore
    type: email
  ` + GitHub + `:
    issuer-url: ` + GitHub + `
    client-id: sigstore
    type: ci-provider
    ci-provider: github-workflow
ci-issuer-metadata:
  github-workflow:
    default-template-values:
      url: "https://github.com"
    extension-templates:
      github-workflow-trigger: "event_name"
      github-workflow-sha: "sha"
      github-workflow-name: "workflow"
      github-workflow-repository: "repository"
      github-workflow-ref: "ref"
      build-signer-uri: "{{ .url }}/{{ .job_workflow_ref }}"
      build-signer-digest: "job_workflow_sha"
      runner-environment: "runner_environment"
      source-repository-uri: "{{ .url }}/{{ .repository }}"
      source-repository-digest: "sha"
      source-repository-ref: "ref"
      source-repository-identifier: "repository_id"
      source-repository-owner-uri: "{{ .url }}/{{ .repository_owner }}"
      source-repository-owner-identifier: "repository_owner_id"
      build-config-uri: "{{ .url }}/{{ .workflow_ref }}"
      build-config-digest: "workflow_sha"
      build-trigger: "event_name"
      run-invocation-uri: "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}"
      source-repository-visibility-at-signing: "repository_visibility"
    subject-alternative-name-template: "{{ .url }}/{{ .job_workflow_ref }}"
`
