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

// Sources configures access to registries and web servers. The zero value is usable: it connects
// anonymously, with TLS and the system's certificate authorities.
//
// A host is written as host or host:port. Without a port, it means only the default port of the
// scheme in use, 443 or 80.
type Sources struct {
	// Insecure lists hosts that may be contacted without TLS, or with a certificate that cannot be
	// verified.
	Insecure []string
	// Authorities are the certificate authorities of hosts, in addition to the system's.
	Authorities []Authority
	// Mirrors replace prefixes of URIs. The longest matching prefix counts. The mirror is asked
	// first. The source itself is asked only if the mirror does not have the module or cannot be
	// reached.
	Mirrors []Mirror
	// DockerConfig is the absolute path of a Docker config.json with credentials. Empty means that
	// registries are accessed anonymously. The file is read whenever a registry requires
	// credentials. Credential helpers are refused. Web servers get no credentials.
	DockerConfig string
	// Layout is the absolute path of an OCI image layout, a directory or a tar file. If it is set,
	// all modules of registries and web servers, and their signatures, come from the layout, under
	// their own URIs. No registry or server is contacted, and what the layout does not contain is
	// not found. Empty means that there is none.
	Layout string
	// Timeout is the maximum time to fetch one module, including retries. Default: 1 minute.
	Timeout time.Duration
}

// Authority lists the certificate authorities of a host.
type Authority struct {
	// Host is host or host:port.
	Host string
	// Files are absolute paths of certificates in PEM.
	Files []string
}

// Mirror is a place from which modules are fetched instead of their source.
type Mirror struct {
	// Prefix is the beginning of a URI, in whole segments, such as registry://ghcr.io/kubewarden/.
	Prefix string
	// Replacement replaces the prefix, for example with registry://mirror.example.com/kubewarden/.
	// A registry can only replace a registry, and a web server only a web server.
	Replacement string
}

// validate reports everything that is wrong with the sources except the contents of files.
func (s *Sources) validate() error {
	var errs []error
	for _, host := range s.Insecure {
		errs = append(errs, validateHost("insecure", host))
	}
	for _, authority := range s.Authorities {
		errs = append(errs, validateHost("authorities", authority.Host))
		for _, file := range authority.Files {
			if !filepath.IsAbs(file) {
				errs = append(errs,
					fmt.Errorf("sources.authorities of %s: %q is not an absolute path",
						authority.Host, file))
			}
		}
	}
	for _, m := range s.Mirrors {
		errs = append(errs, m.validate())
	}
	if s.DockerConfig != "" && !filepath.IsAbs(s.DockerConfig) {
		errs = append(errs,
			fmt.Errorf("sources.dockerConfig: %q is not an absolute path", s.DockerConfig))
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
	if err != nil || host == "" || u.Host != host || u.Hostname() == "" ||
		strings.HasSuffix(host, ":") {
		return fmt.Errorf("sources.%s: %q is neither host nor host:port", field, host)
	}
	return nil
}
