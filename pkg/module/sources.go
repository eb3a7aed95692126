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
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// defaultTimeout is the default of [Sources.Timeout].
const defaultTimeout = time.Minute

// Sources say how registries and web servers are asked. The zero value is usable: it
// asks anonymously, with TLS and the certificate authorities of the system.
//
// A host is written as host or host:port. Without a port it means the default port
// of the scheme that is used, 443 or 80, and no other.
type Sources struct {
	// Insecure are hosts that may be asked without TLS, or with a certificate that
	// nobody vouches for.
	Insecure []string
	// Authorities are the certificate authorities of hosts, beside those of the system.
	Authorities []Authority
	// Mirrors replace prefixes of URIs. The longest prefix that fits is taken. A mirror
	// is asked first; the source itself is asked only if the mirror does not have the
	// module or cannot be reached.
	Mirrors []Mirror
	// DockerConfig is the absolute path of a config.json of Docker with credentials; ""
	// means that registries are asked anonymously. It is read whenever a registry wants
	// credentials. Credential helpers are refused. Web servers get no credentials.
	DockerConfig string
	// Layout is the absolute path of an OCI image layout, a directory or a tar, that has
	// everything: modules of registries and web servers come from there, by the URIs that
	// they have, and their signatures; nobody is asked. What is not in it is not found. ""
	// means that there is none.
	Layout string
	// Timeout bounds fetching one module, retries included. Default: 1 minute.
	Timeout time.Duration
}

// Authority says which certificate authorities a host is trusted by.
type Authority struct {
	// Host is host or host:port.
	Host string
	// Files are absolute paths of certificates in PEM.
	Files []string
}

// Mirror is where modules are fetched from instead.
type Mirror struct {
	// Prefix is what a URI begins with: whole segments of it, such as
	// registry://ghcr.io/kubewarden/.
	Prefix string
	// Replacement takes its place, such as registry://mirror.example.com/kubewarden/. A
	// registry can be replaced by registries only, and a web server by web servers.
	Replacement string
}

// validate reports everything that is wrong with the sources but what is in files.
func (s *Sources) validate() error {
	var errs []error
	for _, host := range s.Insecure {
		errs = append(errs, validateHost("insecure", host))
	}
	for _, authority := range s.Authorities {
		errs = append(errs, validateHost("authorities", authority.Host))
		for _, file := range authority.Files {
			if !filepath.IsAbs(file) {
				errs = append(errs, fmt.Errorf("sources.authorities of %s: %q is not an absolute path", authority.Host, file))
			}
		}
	}
	for _, m := range s.Mirrors {
		errs = append(errs, m.validate())
	}
	if s.DockerConfig != "" && !filepath.IsAbs(s.DockerConfig) {
		errs = append(errs, fmt.Errorf("sources.dockerConfig: %q is not an absolute path", s.DockerConfig))
	}
	if s.Layout != "" && !filepath.IsAbs(s.Layout) {
		errs = append(errs, fmt.Errorf("sources.layout: %q is not an absolute path", s.Layout))
	}
	if s.Timeout < 0 {
		errs = append(errs, fmt.Errorf("sources.timeout: %s is negative", s.Timeout))
	}
	return errors.Join(errs...)
}

func validateHost(field, host string) error {
	u, err := url.Parse("https://" + host)
	if err != nil || host == "" || u.Host != host || u.Hostname() == "" || strings.HasSuffix(host, ":") {
		return fmt.Errorf("sources.%s: %q is neither host nor host:port", field, host)
	}
	return nil
}
