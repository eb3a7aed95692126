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
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"oras.land/oras-go/v2/registry/remote"
)

// Dial connects to an address of the form host:port, like [net.Dialer.DialContext].
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// RegistriesOptions configures [Registries].
type RegistriesOptions struct {
	// Sources configures the registries' authorities, credentials, and mirrors.
	Sources Sources
	// Dial makes all connections, without a proxy. Nil connects to any address, through the
	// environment's proxies.
	Dial Dial
	// Wrap wraps the transport of all requests, including redirected ones and those for tokens. Nil
	// wraps nothing. The wrapped transport applies the settings of each request's host.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Registries reads from registries and their mirrors. It is safe for concurrent use.
type Registries struct {
	sources Sources
	hosts   *hosts
	client  *http.Client
}

// NewRegistries returns a client for registries. It reads the certificates and credentials that the
// sources name, so that it reports mistakes immediately. It reads them again when it needs them.
func NewRegistries(options RegistriesOptions) (*Registries, error) {
	r := &Registries{sources: options.Sources}
	r.sources.Timeout = cmp.Or(r.sources.Timeout, defaultTimeout)
	if err := r.sources.validate(); err != nil {
		return nil, err
	}
	r.hosts = newHosts(&r.sources, options.Dial)
	r.client = &http.Client{Transport: r.hosts, CheckRedirect: r.hosts.checkRedirect}
	if options.Wrap != nil {
		r.client.Transport = options.Wrap(r.hosts)
	}
	if err := errors.Join(r.hosts.load(), checkCredentials(r.sources.DockerConfig)); err != nil {
		return nil, err
	}
	return r, nil
}

// Each calls f for the repositories that a registry:// URI may mean, until one has what f looks
// for: first the mirror's repository, if there is one, and then the registry's own. The name is the
// URI's tag or digest. A repository is valid for one call and requests its own tokens. Its contents
// are not bounded; the reader must bound them. Errors are [*Error]. If f returns an error that
// wraps errdef.ErrNotFound of oras-go, Each tries the next repository. Each does not retry, and
// ends when the context ends.
func (r *Registries) Each(ctx context.Context, uri string,
	f func(from *remote.Repository, name string) error) error {
	ref, err := parseReference(uri)
	if err != nil {
		return withURI(uri, &Error{Cause: CauseInvalid, Err: err})
	}
	err = r.eachRepository(ctx, uri, func(from *repository) error {
		return answerError(f(from.Repository, ref.name()))
	})
	if err != nil {
		return withURI(uri, err)
	}
	return nil
}

// MirrorHosts returns the hosts of mirrors for registries, as host or host:port.
func (s *Sources) MirrorHosts() (hosts []string) {
	for _, m := range s.Mirrors {
		if rest, ok := strings.CutPrefix(m.Replacement, "registry://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			hosts = append(hosts, host)
		}
	}
	return hosts
}
