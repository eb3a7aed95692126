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
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxETagBytes bounds an entity tag that is kept.
const maxETagBytes = 256

// fromServer fetches a module from a web server. One that is in the store already is
// asked for on the condition that it has changed.
func (r *puller) fromServer(ctx context.Context, request Request, p *progress) (*Module, error) {
	host, err := r.checkURL(request.URI)
	if err != nil {
		return nil, err
	}
	if m := r.named(ctx, request.URI, request.Digest); m != nil {
		return m, nil
	}
	before := r.earlier(ctx, request)
	var m *Module
	err = r.ask(ctx, host, before != nil, func(ctx context.Context) error {
		return r.eachLocation(ctx, request.URI, func(l location) (err error) {
			m, err = r.getURL(ctx, l.uri, before, p)
			return err
		})
	})
	if err != nil {
		if before == nil || !unanswered(err) {
			return nil, err
		}
		klog.FromContext(ctx).Info("Server cannot be asked for a module: taking what it served last", "digest", before.Digest, "err", err)
		m = before
	}
	if err := checkDigest(request.Digest, m.Digest); err != nil || m == before {
		return m, err
	}
	if m.verifiedBy, err = verify(ctx, r.verifier, Artifact{URI: request.URI, Digest: m.Digest}); err != nil {
		return nil, err
	}
	r.store.put(ctx, m)
	r.remember(ctx, request.URI, m)
	klog.FromContext(ctx).Info("Fetched module from a server", "digest", m.Digest, "bytes", len(m.Bytes), "elapsed", time.Since(p.begin).Round(time.Millisecond))
	return m, nil
}

// earlier returns what is known of the module already: what the caller has, or what
// is in the store.
func (r *puller) earlier(ctx context.Context, request Request) *Module {
	if have := request.Have; have != nil && acceptedBefore(r.verifier, have.verifiedBy) {
		return have
	}
	return r.stored(ctx, request.URI)
}

// checkURL refuses what is never asked for and returns the host.
func (r *puller) checkURL(uri string) (host string, err error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return "", fail(CauseInvalid, "the URL cannot be parsed") // the error has all of it
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "", fail(CauseInvalid, "the URL has no host")
	case u.User != nil:
		return "", fail(CauseInvalid, "the URL has credentials in it, which everybody who reads the configuration would see: remove them")
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return "", fail(CauseInvalid, "the URL has a fragment: remove it")
	case u.Scheme == "http" && !r.hosts.isInsecure(u.Scheme, u.Host):
		return "", fail(CauseInvalid, "%s would be asked without TLS: write https, or name the host in sources.insecure", u.Host)
	}
	return u.Host, nil
}

// getURL asks one server. It returns before if that is what the server still has.
func (r *puller) getURL(ctx context.Context, uri string, before *Module, p *progress) (*Module, error) {
	if _, err := r.checkURL(uri); err != nil {
		return nil, err
	}
	p.at("asking server")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fail(CauseInvalid, "the URL cannot be asked for")
	}
	request.Header.Set("User-Agent", userAgent)
	if before != nil && before.Revision != "" {
		request.Header.Set("If-None-Match", before.Revision)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotModified && before != nil && before.Revision != "":
		return before, nil
	case response.StatusCode != http.StatusOK:
		return nil, statusError(response.StatusCode, nil)
	}
	content, err := download(response.Body, "module", response.ContentLength, r.maxBytes, p)
	if err != nil {
		return nil, err
	}
	if err := checkMagic(content); err != nil {
		return nil, err
	}
	return &Module{Bytes: content, Digest: engine.Digest(content), Revision: entityTag(response.Header)}, nil
}

// entityTag returns the tag that a server gives to exactly these bytes. Weak tags
// are not that.
func entityTag(header http.Header) string {
	tag := header.Get("ETag")
	if len(tag) < 2 || len(tag) > maxETagBytes || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return ""
	}
	return tag
}
