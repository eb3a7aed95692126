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

// hubServer is the host that is asked for what is at docker.io.
const hubServer = "registry-1.docker.io"

// hostPatterns say which hosts may be asked.
type hostPatterns []hostPattern

// hostPattern is one host, or all names below a domain.
type hostPattern struct {
	name string // "" with below is every name
	// below is whether it is the names below that, rather than itself.
	below bool
	port  string // "" is the default of the scheme
	// everything is every name and every address, with any port.
	everything bool
}

var anyHost = hostPatterns{{everything: true}}

// parseHosts reads what a configuration names: host or host:port, with "*." in front for the
// names below a domain, and "*" for every name.
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
			return nil, fmt.Errorf("%s: %.200q is no pattern of hosts: write host, host:port, *.example.com or *", field, text)
		}
		all = append(all, p)
	}
	return all, nil
}

// match says whether a host may be asked by a scheme. An address is matched by itself only:
// it is below no domain.
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

// addresses are the patterns that name one host with its port, as host:port: these may have
// any address.
func (h hostPatterns) addresses() (all []string) {
	for _, p := range h {
		if p.port != "" && !p.below {
			all = append(all, net.JoinHostPort(p.name, p.port))
		}
	}
	return all
}
