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

// Package moduleuri has the rules of how modules and their hosts are named, for those who
// judge a configuration and those who fetch by it.
package moduleuri

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// MaxBytes is the longest that a URI may be after its scheme.
const MaxBytes = 4096

// IsTooLong is whether a URI, or a scheme alone, is longer than it may be.
func IsTooLong(uri string) bool {
	scheme, rest, _ := strings.Cut(uri, "://")
	return max(len(scheme), len(rest)) > MaxBytes
}

// Reasons why a reference is none, beside those of its host, repository and tag.
var (
	ErrDigest   = errors.New("what follows the @ must be the digest of a manifest: sha256: and 64 lower-case hexadecimal digits")
	ErrEmptyTag = errors.New("the tag is empty")
)

var digestPattern = regexp.MustCompile("^sha256:[0-9a-f]{64}$")

// IsDigest is whether a text is a digest. Others than SHA-256 are not in use.
func IsDigest(text string) bool { return digestPattern.MatchString(text) }

// Reference names an artifact in a registry.
type Reference struct {
	Registry   string // host or host:port
	Repository string
	Tag        string // "" if there is a digest
	Digest     string // of the manifest; "" if there is none
}

// ParseReference parses what follows registry://. A tag beside a digest must be valid, and
// has no other effect.
func ParseReference(text string) (Reference, error) {
	name, digest, hasDigest := strings.Cut(text, "@")
	if hasDigest && !IsDigest(digest) {
		return Reference{}, ErrDigest
	}
	if strings.HasSuffix(name, ":") {
		return Reference{}, ErrEmptyTag
	}
	parsed, err := registry.ParseReference(name)
	if err != nil {
		return Reference{}, err
	}
	ref := Reference{Registry: parsed.Registry, Repository: parsed.Repository, Digest: digest}
	if !hasDigest {
		ref.Tag = parsed.ReferenceOrDefault()
	}
	return ref, nil
}

// LayoutScheme is that of URIs of modules in OCI image layouts.
const LayoutScheme = "oci-layout"

// Reasons why a place in a layout is none.
var (
	ErrNoReference = errors.New("what is in the layout is not named")
	ErrLayoutPath  = errors.New("the path of a layout is absolute and clean")
)

// InLayout names an artifact in an OCI image layout.
type InLayout struct {
	// Path is that of the layout, a directory or a tar.
	Path string
	// Repository is host/repository; "" has the tags that stand alone.
	Repository string
	Tag        string // "" if there is a digest
	Digest     string // of the manifest; "" if there is none
}

// ParseInLayout parses what follows oci-layout:// as skopeo and BuildKit have it: the path, a
// colon, and what the index of the layout calls it, a reference or a tag; or an @ and the digest
// of the manifest behind either. A tag beside a digest has no effect.
func ParseInLayout(text string) (InLayout, error) {
	end := strings.IndexAny(text, ":@")
	if end < 0 {
		return InLayout{}, ErrNoReference
	}
	in := InLayout{Path: text[:end]}
	if !path.IsAbs(in.Path) || path.Clean(in.Path) != in.Path || in.Path == "/" {
		return InLayout{}, ErrLayoutPath
	}
	name, digest, hasDigest := strings.Cut(strings.TrimPrefix(text[end:], ":"), "@")
	if hasDigest && !IsDigest(digest) {
		return InLayout{}, ErrDigest
	}
	if strings.Contains(name, "/") {
		reference, err := ParseReference(name)
		if err != nil {
			return InLayout{}, err
		}
		in.Repository, in.Tag = reference.Registry+"/"+reference.Repository, reference.Tag
	} else if in.Tag = name; !tagPattern.MatchString(name) && (name != "" || !hasDigest) {
		return InLayout{}, ErrNoReference
	}
	if hasDigest {
		in.Tag, in.Digest = "", digest
	}
	return in, nil
}

var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// IsListed is whether a host is in a list, in which one without a port stands for the ports
// of https and http. Elsewhere it has that of the scheme.
func IsListed(list []string, scheme, host string) bool {
	host = WithPort(scheme, host)
	return slices.ContainsFunc(list, func(entry string) bool {
		return WithPort("https", entry) == host || WithPort("http", entry) == host
	})
}

// WithPort returns host:port, with the default port of the scheme if there is none.
func WithPort(scheme, host string) string {
	u := url.URL{Host: strings.ToLower(host)}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), DefaultPort(scheme)))
}

// DefaultPort returns the port of a URL that names none: 80 for http, 443 for https, and "" for other schemes.
func DefaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
