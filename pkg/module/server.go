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
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/klog/v2"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxETagBytes is the maximum size of a stored entity tag.
const maxETagBytes = 256

// fromServer fetches a module from a web server. If the module is in the store, the request is
// conditional on a change.
func (r *puller) fromServer(ctx context.Context, request Request, p *progress) (*Module, error) {
	host, err := r.checkURL(request.URI)
	if err != nil {
		return nil, err
	}
	if m := r.named(ctx, request.URI, request); m != nil {
		return m, nil
	}
	before, refused := r.earlier(ctx, request)
	var m *Module
	var found string
	err = r.ask(ctx, host, before != nil, func(ctx context.Context) error {
		return r.eachLocation(ctx, request.URI, func(l location) (err error) {
			m, err = r.getURL(ctx, l.uri, before, p)
			found = l.uri
			return err
		})
	})
	if err != nil {
		if before == nil || !unanswered(err) {
			return nil, withRefusal(err, refused)
		}
		klog.FromContext(ctx).Info("Cannot ask a server for a module: using what it served last",
			"digest", before.Digest, "err", err)
		m = before
	}
	if err := checkDigest(request.Digest, m.Digest); err != nil || m == before {
		return m, err
	}
	p.at("verifying")
	var proof kept
	err = r.retry(ctx, r.patient, func(ctx context.Context) (err error) {
		m.VerifiedBy, proof.Evidence, err = verify(ctx, r.verifier, Artifact{
			URI: request.URI, Digest: m.Digest, Demands: request.Demands, Bytes: m.Bytes,
			Beside: r.besideURL(found, request.URI),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	m.Proof = proof.held()
	r.store.put(ctx, m)
	r.store.keepEvidence(ctx, entry{URI: request.URI, Demands: demandsID(request.Demands)}, proof)
	r.remember(ctx, request.URI, request.Demands, m)
	klog.FromContext(ctx).Info("Fetched module from a server", "digest", m.Digest,
		"bytes", len(m.Bytes), "elapsed", time.Since(p.begin).Round(time.Millisecond))
	return m, nil
}

// earlier returns the known state of the module, from the caller or from the store. The error says
// why the stored state does not count.
func (r *puller) earlier(ctx context.Context, request Request) (*Module, error) {
	if have := request.Have; have != nil &&
		acceptedBefore(r.verifier, request.Demands, have.VerifiedBy) {
		return have, nil
	}
	return r.stored(ctx, request.URI, request.Demands)
}

// besideURL reads what is stored beside a module: first where the module was found, and then at the
// source itself, with the same settings as for modules.
func (r *puller) besideURL(places ...string) func(context.Context, string, int64) ([]byte, error) {
	return func(ctx context.Context, suffix string, most int64) (content []byte, err error) {
		for _, place := range slices.Compact(places) {
			if content, err = r.getBeside(ctx, place, suffix, most); !errors.Is(err,
				errdef.ErrNotFound) {
				return content, err
			}
		}
		return nil, err
	}
}

func (r *puller) getBeside(ctx context.Context, uri, suffix string, most int64) ([]byte, error) {
	u, err := url.Parse(uri)
	if err != nil {
		// the error would quote the whole URL
		return nil, fail(CauseInvalid, "the URL cannot be parsed")
	}
	u.Path += suffix
	if u.RawPath != "" {
		u.RawPath += suffix
	}
	response, err := r.request(ctx, u.String(), "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return download(response.Body, path.Base(u.Path), response.ContentLength, most, &progress{})
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: %w", Redact(u.String()), errdef.ErrNotFound)
	}
	return nil, statusError(response.StatusCode, nil)
}

// request sends a request to a server that may be contacted. The tag is that of the known state, or
// empty.
func (r *puller) request(ctx context.Context, uri, tag string) (*http.Response, error) {
	if _, err := r.checkURL(uri); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fail(CauseInvalid, "the URL cannot be requested")
	}
	request.Header.Set("User-Agent", userAgent)
	if tag != "" {
		request.Header.Set("If-None-Match", tag)
	}
	return r.client.Do(request)
}

// checkURL refuses URLs that must not be requested, and returns the host.
func (r *puller) checkURL(uri string) (host string, err error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		// the error would quote the whole URL
		return "", fail(CauseInvalid, "the URL cannot be parsed")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "", fail(CauseInvalid, "the URL has no host")
	case u.User != nil:
		return "", fail(CauseInvalid,
			"the URL contains credentials, which everyone who reads the configuration would see: remove them")
	case u.Fragment != "" || strings.Contains(uri, "#"):
		return "", fail(CauseInvalid, "the URL has a fragment: remove it")
	case u.Scheme == "http" && !r.hosts.isInsecure(u.Scheme, u.Host):
		return "", fail(CauseInvalid,
			"%s would be contacted without TLS: write https, or name the host in sources.insecure",
			u.Host)
	}
	return u.Host, nil
}

// getURL asks one server. It returns before if the server still has the same module.
func (r *puller) getURL(ctx context.Context, uri string, before *Module,
	p *progress) (*Module, error) {
	p.at("asking server")
	tag := ""
	if before != nil {
		tag = before.Revision
	}
	response, err := r.request(ctx, uri, tag)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode == http.StatusNotModified && tag != "":
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
	return &Module{
		Bytes:    content,
		Digest:   engine.Digest(content),
		Revision: entityTag(response.Header),
	}, nil
}

// entityTag returns the response's tag if it stands for exactly these bytes. Weak tags do not.
func entityTag(header http.Header) string {
	tag := header.Get("ETag")
	if len(tag) < 2 || len(tag) > maxETagBytes || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return ""
	}
	return tag
}
