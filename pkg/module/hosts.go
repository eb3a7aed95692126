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
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

const (
	// maxRedirects is the maximum number of redirects of one request. Registries redirect clients
	// to their blob storage, usually once.
	maxRedirects = 5
	// maxHeaderBytes is the maximum size of a response's header.
	maxHeaderBytes = 64 << 10

	dialTimeout   = 5 * time.Second
	headerTimeout = 30 * time.Second
)

// hosts sends each request with the settings of its host. It implements http.RoundTripper.
type hosts struct {
	dial        Dial
	insecure    []string
	authorities map[string][]string // files, by host:port

	mu         sync.Mutex
	transports map[string]*transport // by host:port, for hosts with authorities
	public     *http.Transport       // for all other hosts
	unverified *http.Transport       // for insecure hosts
}

// transport is the transport of a host with its own authorities.
type transport struct {
	*http.Transport
	pem string // the certificates that it was made with
}

func newHosts(sources *Sources, dial Dial) *hosts {
	h := &hosts{
		dial:        dial,
		insecure:    sources.Insecure,
		authorities: map[string][]string{},
		transports:  map[string]*transport{},
		public:      newTransport(&tls.Config{MinVersion: tls.VersionTLS12}, dial),
		unverified: newTransport(&tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true,
		}, dial),
	}
	for _, a := range sources.Authorities {
		host := moduleuri.WithPort("https", a.Host)
		h.authorities[host] = append(h.authorities[host], a.Files...)
	}
	return h
}

// newTransport returns a transport that connects with dial and does not use a proxy. With a nil
// dial, it connects directly or through the environment's proxies.
func newTransport(config *tls.Config, dial Dial) *http.Transport {
	own := dial != nil
	if !own {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	t := utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig:        config,
		DialContext:            dial,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    2,
		// Content must arrive as it is stored, because digests and size limits apply to the stored
		// bytes.
		DisableCompression: true,
	})
	if own {
		t.Proxy = nil
	}
	return t
}

func (h *hosts) isInsecure(scheme, host string) bool {
	return moduleuri.IsListed(h.insecure, scheme, host)
}

// RoundTrip implements http.RoundTripper.
func (h *hosts) RoundTrip(request *http.Request) (*http.Response, error) {
	t, err := h.transport(request.URL)
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	response, err := t.RoundTrip(observeUpload(request))
	if err == nil {
		boundIndex(response)
	}
	return response, err
}

// boundIndex bounds the decoded size of an image index: the registry's client decodes lists of
// referrers by itself.
func boundIndex(response *http.Response) {
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err == nil && mediaType == ocispec.MediaTypeImageIndex {
		response.Body = struct {
			io.Reader
			io.Closer
		}{jsonparts.NewReader(response.Body, jsonparts.MaxManifest), response.Body}
	}
}

func (h *hosts) transport(u *url.URL) (http.RoundTripper, error) {
	host := moduleuri.WithPort(u.Scheme, u.Host)
	switch {
	case h.isInsecure(u.Scheme, u.Host):
		return h.unverified, nil
	case u.Scheme != "https":
		return nil, fail(CauseUntrusted, "%s would be contacted without TLS", host)
	case len(h.authorities[host]) == 0:
		return h.public, nil
	}
	return h.withAuthorities(host)
}

// withAuthorities returns a host's own transport. It makes a new one when the host's files have
// changed.
func (h *hosts) withAuthorities(host string) (http.RoundTripper, error) {
	pem, err := readAuthorities(h.authorities[host])
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.transports[host]
	if old != nil && old.pem == string(pem) {
		return old, nil
	}
	pool, err := certPool(pem)
	if err != nil {
		return nil, err
	}
	if old != nil {
		old.CloseIdleConnections()
	}
	t := &transport{
		Transport: newTransport(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, h.dial),
		pem:       string(pem),
	}
	h.transports[host] = t
	return t, nil
}

// load makes the transports of all hosts with their own authorities.
func (h *hosts) load() error {
	var errs []error
	for host := range h.authorities {
		if _, err := h.withAuthorities(host); err != nil {
			errs = append(errs, fmt.Errorf("sources.authorities of %s: %w", host, err))
		}
	}
	return errors.Join(errs...)
}

// checkRedirect limits the number of redirects. It refuses redirects to another scheme, and
// redirects from a verified host to one that cannot be verified.
func (h *hosts) checkRedirect(request *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch to := request.URL; {
	case len(via) > maxRedirects:
		return fail(CauseAnswer, "redirects more than %d times", maxRedirects)
	case to.Scheme != first.Scheme:
		return fail(CauseAnswer, "redirects from %s to %s, which is not followed", first.Scheme,
			to.Scheme)
	case to.User != nil:
		return fail(CauseAnswer, "redirects with credentials, which is not followed")
	case h.isInsecure(to.Scheme, to.Host) && !h.isInsecure(first.Scheme, first.Host):
		return fail(CauseAnswer, "redirects to insecure host %s, which is not followed", to.Host)
	}
	return nil
}
