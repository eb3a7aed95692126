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

// Package moduleuri defines the names of modules and their hosts. Both the validation of
// configurations and the code that fetches modules use it.
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

// MaxBytes is the maximum length of a URI after its scheme.
const MaxBytes = 4096

// IsTooLong reports whether the scheme of a URI, or the part after it, exceeds [MaxBytes].
func IsTooLong(uri string) bool {
	scheme, rest, _ := strings.Cut(uri, "://")
	return max(len(scheme), len(rest)) > MaxBytes
}

// Errors about a reference, apart from those about its host, repository and tag.
var (
	ErrDigest   = errors.New("the part after the @ must be the digest of a manifest: sha256: and 64 lower-case hexadecimal digits")
	ErrEmptyTag = errors.New("the tag is empty")
)

var digestPattern = regexp.MustCompile("^sha256:[0-9a-f]{64}$")

// IsDigest reports whether a text is a SHA-256 digest. No other digests are supported.
func IsDigest(text string) bool { return digestPattern.MatchString(text) }

// Reference names an artifact in a registry.
type Reference struct {
	Registry   string // host or host:port
	Repository string
	Tag        string // "" if there is a digest
	Digest     string // of the manifest; "" if there is none
}

// ParseReference parses the part after registry://. A tag beside a digest must be valid, but has no
// effect.
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

// LayoutScheme is the scheme of URIs of modules in OCI image layouts.
const LayoutScheme = "oci-layout"

// Errors about a place in a layout.
var (
	ErrNoReference = errors.New("the URI does not name an artifact in the layout")
	ErrLayoutPath  = errors.New("the path of a layout must be absolute and clean")
)

// InLayout names an artifact in an OCI image layout.
type InLayout struct {
	// Path is the path of the layout, a directory or a tar file.
	Path string
	// Repository is host/repository, or "" for tags without a repository.
	Repository string
	Tag        string // "" if there is a digest
	Digest     string // of the manifest; "" if there is none
}

// ParseInLayout parses the part after oci-layout:// in the syntax of skopeo and BuildKit. This is
// the path, a colon, and the name of the artifact in the layout's index: a reference or a tag.
// Instead of a name, or after it, there may be an @ and the digest of the manifest. A tag beside a
// digest has no effect.
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

// IsListed reports whether a host is in a list. An entry without a port covers the default ports of
// https and http. A host without a port has the default port of the scheme.
func IsListed(list []string, scheme, host string) bool {
	host = WithPort(scheme, host)
	return slices.ContainsFunc(list, func(entry string) bool {
		return WithPort("https", entry) == host || WithPort("http", entry) == host
	})
}

// WithPort returns host:port. It adds the default port of the scheme if there is none.
func WithPort(scheme, host string) string {
	u := url.URL{Host: strings.ToLower(host)}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), DefaultPort(scheme)))
}

// DefaultPort returns the port of a URL that names none: 80 for http, 443 for https, and "" for
// other schemes.
func DefaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}
