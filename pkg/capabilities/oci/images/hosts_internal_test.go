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
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShortNames(t *testing.T) {
	for image, want := range map[string]string{
		"busybox":                          "registry://docker.io/library/busybox",
		"busybox:1.36":                     "registry://docker.io/library/busybox:1.36",
		"team/app":                         "registry://docker.io/team/app",
		"docker.io/busybox":                "registry://docker.io/library/busybox",
		"index.docker.io/team/app:v1":      "registry://docker.io/team/app:v1",
		"registry://busybox":               "registry://docker.io/library/busybox",
		"registry://ghcr.io/a/b@sha256:00": "registry://ghcr.io/a/b@sha256:00",
		"localhost/app":                    "registry://localhost/app",
		"host:5000/app":                    "registry://host:5000/app",
		"GHCR.io/a":                        "registry://ghcr.io/a",
		"[::1]:5000/app":                   "registry://[::1]:5000/app",
	} {
		host, uri, err := expand(image)
		require.NoError(t, err, image)
		require.Equal(t, want, uri)
		require.True(t, strings.HasPrefix(uri, "registry://"+host+"/"))
	}
	for _, image := range []string{
		"user@ghcr.io/app", "user:pw@ghcr.io/app", "ghcr.io?x/app", "ghcr.io#x/app",
		"http://ghcr.io/app", "gh%63r.io/app", "ghcr.io:/app", ".ghcr.io/app",
		"ghcr.io:99999999/app", "[::1/app", "ghcr.io\\@evil.example/app",
	} {
		_, _, err := expand(image)
		require.ErrorContains(t, err,
			"is not a host: write [host[:port]/]repository[:tag][@digest]", image)
	}
}

func TestHostPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, scheme, host string
		want                  bool
	}{
		{"ghcr.io", "https", "ghcr.io", true},
		{"ghcr.io", "https", "GHCR.IO:443", true},
		{"ghcr.io", "http", "ghcr.io:80", true},
		{"ghcr.io", "https", "ghcr.io:80", false},
		{"ghcr.io", "https", "ghcr.io:5000", false},
		{"ghcr.io", "https", "a.ghcr.io", false},
		{"ghcr.io", "https", "ghcr.io.evil.example", false},
		{"ghcr.io:443", "https", "ghcr.io", true},
		{"host:5000", "https", "host:5000", true},
		{"host:5000", "https", "host", false},
		{"*.example.com", "https", "a.example.com", true},
		{"*.example.com", "https", "a.b.example.com", true},
		{"*.example.com", "https", "example.com", false},
		{"*.example.com", "https", "evilexample.com", false},
		{"*.example.com:5000", "https", "a.example.com:5000", true},
		{"*.example.com:5000", "https", "a.example.com", false},
		{"*", "https", "anything.example", true},
		{"*", "https", "anything.example:5000", false},
		{"*", "https", "127.0.0.1", false},
		{"*", "https", "[::1]", false},
		{"*:5000", "https", "127.0.0.1:5000", false},
		{"127.0.0.1:5000", "https", "127.0.0.1:5000", true},
		{"[::1]:5000", "http", "[::1]:5000", true},
	} {
		patterns, err := parseHosts("field", []string{test.pattern})
		require.NoError(t, err)
		require.Equal(t, test.want, patterns.match(test.scheme, test.host), "%s of %s://%s",
			test.pattern, test.scheme, test.host)
	}
	for _, pattern := range []string{"", "a*.example.com", "*.*", "a.*.com", "**"} {
		_, err := parseHosts("field", []string{pattern})
		require.ErrorContains(t, err, "field: ", pattern)
		require.ErrorContains(t, err, "is not a host pattern")
	}
}

func TestAddressesThatAreNotOnTheInternet(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1",
		"192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
		"192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1",
		"fe80::1%eth0", "2002:7f00:1::%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1",
		"2001:db8::1", "100::1",
	} {
		require.ErrorContains(t, (&dialer{}).check("a:443", at(address)), "is not on the internet",
			address)
	}
	for _, address := range []string{
		"1.1.1.1", "140.82.121.33", "::ffff:1.1.1.1", "2606:4700::1111", "2a04:4e42::1",
	} {
		require.NoError(t, (&dialer{}).check("a:443", at(address)), address)
	}
	require.Error(t, (&dialer{}).check("a:443", "no address"))
}

// at returns the host that is connected to at an address.
func at(address string) string {
	return netip.AddrPortFrom(netip.MustParseAddr(address), 443).String()
}

// A cluster may use public addresses.
func TestRangesThatAreDenied(t *testing.T) {
	denied, err := parseRanges([]string{"140.82.112.0/20", "2606:4700::/32"})
	require.NoError(t, err)
	d := &dialer{denied: denied}
	for _, address := range []string{
		"140.82.121.33", "::ffff:140.82.121.33", "2606:4700::1111", "2606:4700::1111%eth0",
	} {
		err := d.check("a.example.com:443", at(address))
		require.ErrorContains(t, err,
			"a.example.com:443 has an address that is in capabilities.oci.deniedRanges", address)
		require.ErrorAs(t, err, new(*ForbiddenError))
	}
	for _, address := range []string{"140.82.128.1", "::ffff:140.82.111.1", "2606:4701::1111"} {
		require.NoError(t, d.check("a.example.com:443", at(address)), address)
	}
	_, err = parseRanges([]string{"140.82.112.0"})
	require.ErrorContains(t, err, "capabilities.oci.deniedRanges: ")
}
