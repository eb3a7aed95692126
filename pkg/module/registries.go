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

// Dial connects to an address, host:port, as that of [net.Dialer] does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// RegistriesOptions say how registries are asked.
type RegistriesOptions struct {
	// Sources say which authorities, credentials and mirrors they have.
	Sources Sources
	// Dial makes all connections, and no proxy is asked. nil connects to whatever there is,
	// by the proxies of the environment.
	Dial Dial
	// Wrap stands before what sends each request, redirected ones and those for tokens
	// included; nil is nothing. Each goes to a host in the way that sources say.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Registries asks registries, and their mirrors, for what is in them. It is safe for
// concurrent use.
type Registries struct {
	sources Sources
	hosts   *hosts
	client  *http.Client
}

// NewRegistries returns a client of registries. It reads the certificates and credentials
// that the sources name, so that mistakes come out at once, and reads them again when it
// needs them.
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

// Each calls a function for the repositories that a registry:// URI may mean, in order,
// until one has what is looked for: that of the mirror, if there is one, and its own. The
// name is the tag or the digest that the URI has. A repository is for one call and asks for
// tokens of its own. What is read of it has no bounds but the reader's. Errors are [*Error];
// one of the function that wraps errdef.ErrNotFound of oras-go has the next be asked. It
// does not try again, and takes no longer than the context.
func (r *Registries) Each(ctx context.Context, uri string, f func(from *remote.Repository, name string) error) error {
	ref, err := parseReference(uri)
	if err != nil {
		return withURI(uri, &Error{Cause: CauseInvalid, Err: err})
	}
	err = r.eachRepository(ctx, uri, func(from *repository) error { return answerError(f(from.Repository, ref.name())) })
	if err != nil {
		return withURI(uri, err)
	}
	return nil
}

// MirrorHosts returns the hosts, host or host:port, that registries are replaced by.
func (s *Sources) MirrorHosts() (hosts []string) {
	for _, m := range s.Mirrors {
		if rest, ok := strings.CutPrefix(m.Replacement, "registry://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			hosts = append(hosts, host)
		}
	}
	return hosts
}
