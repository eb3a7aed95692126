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

package capabilities

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPatternMatches(t *testing.T) {
	tests := []struct {
		pattern string
		grants  []string
		denies  []string
	}{
		{
			pattern: "*",
			grants: []string{
				"oci/v1/verify", "kubernetes/can_i", "net/v1/dns_lookup_host", "unknown/thing",
			},
		},
		{
			pattern: "oci/*",
			grants:  []string{"oci/v1/verify", "oci/v2/verify", "oci/v1/oci_manifest_config"},
			denies: []string{
				"", "oci", "oci/", "ocix/v1/verify", "xoci/v1/verify", "net/v1/dns_lookup_host",
			},
		},
		{
			pattern: "oci/v1/*",
			grants:  []string{"oci/v1/verify", "oci/v1/manifest_digest"},
			denies:  []string{"oci/v1", "oci/v1/", "oci/v2/verify", "oci/v11/verify"},
		},
		{
			pattern: "kubernetes/*",
			grants:  []string{"kubernetes/can_i", "kubernetes/list_resources_all"},
			denies:  []string{"kubernetes", "Kubernetes/can_i"},
		},
		{
			pattern: "kubernetes/get_resource",
			grants:  []string{"kubernetes/get_resource"},
			denies: []string{
				"", "kubernetes/get_resource/", "kubernetes/get_resources", "kubernetes/*", "*",
			},
		},
		{
			pattern: "crypto/v1/is_certificate_trusted",
			grants:  []string{"crypto/v1/is_certificate_trusted"},
			denies:  []string{"crypto/v1", "crypto/v2/is_certificate_trusted"},
		},
	}
	for _, test := range tests {
		t.Run(test.pattern, func(t *testing.T) {
			pattern, err := ParsePattern(test.pattern)
			require.NoError(t, err)
			require.Equal(t, test.pattern, pattern.String())
			for _, path := range test.grants {
				require.True(t, pattern.Matches(path), path)
			}
			for _, path := range test.denies {
				require.False(t, pattern.Matches(path), path)
			}
		})
	}
}

// Every path in the catalog can be granted by itself, by each prefix, and by "*".
func TestEveryCapabilityCanBeGranted(t *testing.T) {
	var walk func(prefix string, at group, above []string)
	found := 0
	walk = func(prefix string, at group, above []string) {
		for segment, next := range at {
			path := prefix + segment
			if next != nil {
				walk(path+"/", next, append(above[:len(above):len(above)], path+"/*"))
				continue
			}
			found++
			for _, text := range append(above[:len(above):len(above)], path) {
				pattern, err := ParsePattern(text)
				require.NoError(t, err)
				require.True(t, pattern.Matches(path), "%s grants %s", text, path)
			}
		}
	}
	walk("", tree, []string{"*"})
	require.Equal(t, 11, found)
}

func TestParsePatternErrors(t *testing.T) {
	const misplaced = `"*" may only stand alone or be the last segment, as in "oci/*"`
	tests := map[string]string{
		"":             `is empty: write a path such as "oci/v1/verify", a prefix such as "oci/*", or "*" for all`,
		"oci*":         misplaced,
		"**":           misplaced,
		"*/verify":     misplaced,
		"oci/*/verify": misplaced,
		"oci/v1/oci_*": misplaced,
		"oci":          `names a group of capabilities: write "oci/*" for all of it, or add one of v1, v2`,
		"oci/v1": `names a group of capabilities: write "oci/v1/*" for all of it, ` +
			`or add one of manifest_digest, oci_manifest, oci_manifest_config, verify`,
		"smtp/v1/send": `there is no host capability "smtp": write one that begins with crypto, kubernetes, net, oci, or "*" for all`,
		"tracing/*":    `there is no host capability "tracing": write one that begins with crypto, kubernetes, net, oci, or "*" for all`,
		"OCI/*":        `there is no host capability "OCI": write one that begins with crypto, kubernetes, net, oci, or "*" for all`,
		"oci/v3/*":     `there is no "v3" below "oci": write one of v1, v2, or "oci/*" for all of it`,
		"oci/":         `there is no "" below "oci": write one of v1, v2, or "oci/*" for all of it`,
		"/oci":         `there is no host capability "": write one that begins with crypto, kubernetes, net, oci, or "*" for all`,
		"oci/v2/sign":  `there is no "sign" below "oci/v2": write one of verify, or "oci/v2/*" for all of it`,
		"kubernetes/can_i/*": `"kubernetes/can_i" is a whole path and nothing may follow it: ` +
			`write "kubernetes/can_i"`,
		"oci/v1/verify/x": `"oci/v1/verify" is a whole path and nothing may follow it: write "oci/v1/verify"`,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			pattern, err := ParsePattern(text)
			require.EqualError(t, err, want)
			require.False(t, pattern.Matches(text))
			require.False(t, pattern.Matches("oci/v1/verify"))
		})
	}
}

func TestParsePatterns(t *testing.T) {
	patterns, err := ParsePatterns([]string{"oci/v1/*", "kubernetes/can_i"})
	require.NoError(t, err)
	require.True(t, patterns.Matches("oci/v1/verify"))
	require.True(t, patterns.Matches("kubernetes/can_i"))
	require.False(t, patterns.Matches("oci/v2/verify"))

	for _, none := range [][]string{nil, {}} {
		patterns, err = ParsePatterns(none)
		require.NoError(t, err)
		require.False(t, patterns.Matches("oci/v1/verify"))
		require.False(t, patterns.Matches(""))
	}

	patterns, err = ParsePatterns([]string{"net", "oci/*", "*x"})
	require.Nil(t, patterns)
	require.EqualError(t, err,
		`host capability pattern "net": names a group of capabilities: write "net/*" for all of it, or add one of v1`+
			"\n"+
			`host capability pattern "*x": "*" may only stand alone or be the last segment, as in "oci/*"`)
}
