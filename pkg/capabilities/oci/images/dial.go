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
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// dialTimeout bounds the time to connect.
const dialTimeout = 5 * time.Second

// ForbiddenError says that the apiserver must not ask a host for an image.
type ForbiddenError struct{ text string }

// Error returns a text that says how to allow the host.
func (f *ForbiddenError) Error() string { return f.text }

func forbid(format string, arguments ...any) error {
	return &ForbiddenError{fmt.Sprintf(format, arguments...)}
}

// notPublic lists addresses that no host on the internet has, beyond those that package netip
// knows: carrier networks, protocol assignments, benchmarks and documentation. It also lists IPv6
// ranges that embed IPv4 addresses, because a gateway may translate them.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// isPublic reports whether an address is on the internet, and does not belong to this machine or to
// a private network. The address must have no zone and must be unmapped.
func isPublic(address netip.Addr) bool {
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	for _, prefix := range notPublic {
		if prefix.Contains(address) {
			return false
		}
	}
	own, err := net.InterfaceAddrs()
	for _, a := range own {
		if prefix, perr := netip.ParsePrefix(a.String()); perr == nil &&
			prefix.Addr().Unmap() == address {
			return false
		}
	}
	return err == nil
}

// dialer connects only to public addresses, and to hosts that are listed by name.
type dialer struct {
	resolver *net.Resolver
	// named lists the hosts, as host:port, that may have any address.
	named map[string]bool
	// denied lists further ranges that other hosts may not use, although they are public.
	denied []netip.Prefix
}

func parseRanges(cidrs []string) (all []netip.Prefix, err error) {
	for _, cidr := range cidrs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("capabilities.oci.deniedRanges: %w", err)
		}
		all = append(all, prefix)
	}
	return all, nil
}

// dial is a [module.Dial]. It checks the address of the connection after name resolution, so a name
// server cannot get around the check.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, Resolver: d.resolver}
	if !d.named[strings.ToLower(address)] {
		dialer.Control = func(_, connected string, _ syscall.RawConn) error {
			return d.check(address, connected)
		}
	}
	return dialer.DialContext(ctx, network, address)
}

func (d *dialer) check(host, connected string) error {
	to, err := netip.ParseAddrPort(connected)
	address := to.Addr().Unmap().WithZone("") // prefixes have no zone
	denied := slices.ContainsFunc(d.denied, func(p netip.Prefix) bool {
		return p.Contains(address)
	})
	switch {
	case denied:
		return forbid(
			"%s has an address that is in capabilities.oci.deniedRanges: name it with its port, as %s, in capabilities.oci.registries (or in redirects) if the apiserver is to connect to it",
			host, host)
	case err == nil && isPublic(address):
		return nil
	}
	return forbid(
		"%s has an address that is not on the internet: name it with its port, as %s, in capabilities.oci.registries (or in redirects) if the apiserver is to connect to it",
		host, host)
}
