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

package images

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// hubServer is the host that serves docker.io.
const hubServer = "registry-1.docker.io"

// hostPatterns are the hosts that may be asked.
type hostPatterns []hostPattern

// hostPattern matches one host, or all names below a domain.
type hostPattern struct {
	name string // with below, "" matches every name
	// below selects the names below the domain, and not the domain itself.
	below bool
	port  string // "" is the default port of the scheme
	// everything matches every name and every address, with any port.
	everything bool
}

var anyHost = hostPatterns{{everything: true}}

// parseHosts parses the hosts of a configuration: host or host:port, with the prefix "*." for the
// names below a domain, or "*" for every name.
func parseHosts(field string, texts []string) (hostPatterns, error) {
	var all hostPatterns
	for _, text := range texts {
		u := url.URL{Host: strings.ToLower(text)}
		p := hostPattern{name: u.Hostname(), port: u.Port()}
		if p.name == "*" {
			p.name, p.below = "", true
		} else if rest, ok := strings.CutPrefix(p.name, "*."); ok {
			p.name, p.below = rest, true
		}
		if (p.name == "" && !p.below) || strings.Contains(p.name, "*") {
			return nil, fmt.Errorf(
				"%s: %.200q is not a host pattern: write host, host:port, *.example.com or *",
				field, text)
		}
		all = append(all, p)
	}
	return all, nil
}

// match reports whether a host may be asked with a scheme. An IP address matches only itself,
// because it is below no domain.
func (h hostPatterns) match(scheme, host string) bool {
	u := url.URL{Host: strings.ToLower(host)}
	name, port := u.Hostname(), u.Port()
	if port == moduleuri.DefaultPort(scheme) {
		port = ""
	}
	for _, p := range h {
		if p.port == moduleuri.DefaultPort(scheme) {
			p.port = ""
		}
		if p.everything || p.port == port && p.matchName(name) {
			return true
		}
	}
	return false
}

func (p *hostPattern) matchName(name string) bool {
	if !p.below {
		return p.name == name
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	return p.name == "" || strings.HasSuffix(name, "."+p.name)
}

// addresses returns the patterns for single hosts with a port, as host:port. These hosts may have
// any address.
func (h hostPatterns) addresses() (all []string) {
	for _, p := range h {
		if p.port != "" && !p.below {
			all = append(all, net.JoinHostPort(p.name, p.port))
		}
	}
	return all
}
