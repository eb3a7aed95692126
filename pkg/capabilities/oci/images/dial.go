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
	"strings"
	"syscall"
	"time"
)

// dialTimeout bounds making one connection.
const dialTimeout = 5 * time.Second

// ForbiddenError says that the apiserver must not ask a host for an image.
type ForbiddenError struct{ text string }

// Error implements the error interface. It says how to allow it.
func (f *ForbiddenError) Error() string { return f.text }

func forbid(format string, arguments ...any) error {
	return &ForbiddenError{fmt.Sprintf(format, arguments...)}
}

// notPublic are addresses that nobody on the internet has, beside those that package netip
// knows: those of carriers, of protocols, of benchmarks and documentation, and those of IPv6
// that stand for one of IPv4, which a gateway may take for such a one.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// isPublic says whether an address is one on the internet, and not this machine's or one of
// networks behind it.
func isPublic(address netip.Addr) bool {
	address = address.Unmap()
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
		if prefix, perr := netip.ParsePrefix(a.String()); perr == nil && prefix.Addr().Unmap() == address {
			return false
		}
	}
	return err == nil
}

// dialer connects to addresses that are public, or belong to a host that is named.
type dialer struct {
	resolver *net.Resolver
	// named are hosts, as host:port, that may have any address.
	named map[string]bool
}

// dial is a [module.Dial]. What is looked at is the address that is connected to, after names
// were looked up: it does not matter what a name server says.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, Resolver: d.resolver}
	if !d.named[strings.ToLower(address)] {
		dialer.Control = func(_, connected string, _ syscall.RawConn) error { return checkAddress(address, connected) }
	}
	return dialer.DialContext(ctx, network, address)
}

func checkAddress(host, connected string) error {
	to, err := netip.ParseAddrPort(connected)
	if err == nil && isPublic(to.Addr()) {
		return nil
	}
	return forbid("%s has an address that is not on the internet: name it with its port, as %s, in capabilities.oci.registries (or in redirects) if the apiserver is to connect to it", host, host)
}
