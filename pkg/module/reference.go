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
	"regexp"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// maxURIBytes bounds a URI: it names a file in the store's index and is logged.
const maxURIBytes = 4096

// digestPattern is what a digest looks like. Others than SHA-256 are not in use.
var digestPattern = regexp.MustCompile("^sha256:[0-9a-f]{64}$")

// reference names an artifact in a registry.
type reference struct {
	registry   string // host or host:port
	repository string
	tag        string // "" if there is a digest
	digest     string // of the manifest; "" if there is none
}

// parseReference parses a registry:// URI. A tag beside a digest must be valid, and
// has no other effect.
func parseReference(uri string) (reference, error) {
	text, ok := strings.CutPrefix(uri, "registry://")
	if !ok {
		return reference{}, errors.New("it does not begin with registry://")
	}
	name, digest, hasDigest := strings.Cut(text, "@")
	if hasDigest && !digestPattern.MatchString(digest) {
		return reference{}, errors.New("what follows the @ must be the digest of a manifest: sha256: and 64 lower-case hexadecimal digits")
	}
	if strings.HasSuffix(name, ":") {
		return reference{}, errors.New("the tag is empty")
	}
	parsed, err := registry.ParseReference(name)
	if err != nil {
		return reference{}, fmt.Errorf("%w: write registry://host/repository:tag or registry://host/repository@sha256:…", err)
	}
	ref := reference{registry: parsed.Registry, repository: parsed.Repository, digest: digest}
	if !hasDigest {
		ref.tag = parsed.ReferenceOrDefault()
	}
	return ref, nil
}

// remote returns the reference as the registry's client knows it.
func (r reference) remote() registry.Reference {
	return registry.Reference{Registry: r.registry, Repository: r.repository}
}

// at returns the reference to a manifest in the same repository.
func (r reference) at(digest string) reference {
	r.tag, r.digest = "", digest
	return r
}

// name returns what the registry's client asks for: a tag or a digest.
func (r reference) name() string {
	if r.digest != "" {
		return r.digest
	}
	return r.tag
}

// String returns the reference as a URI, always in the same form.
func (r reference) String() string {
	if r.digest != "" {
		return "registry://" + r.registry + "/" + r.repository + "@" + r.digest
	}
	return "registry://" + r.registry + "/" + r.repository + ":" + r.tag
}

// Redact returns a URI without what may be secret in it: user and password, and the
// query, in which servers are given signatures.
func Redact(uri string) string {
	if strings.HasPrefix(uri, "registry://") || strings.HasPrefix(uri, "file://") {
		scheme, rest, _ := strings.Cut(uri, "://")
		authority, path, _ := strings.Cut(rest, "/")
		if at := strings.LastIndex(authority, "@"); at >= 0 {
			return scheme + "://…@" + authority[at+1:] + "/" + path
		}
		return uri
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "(a URI that cannot be parsed)"
	}
	if u.User != nil {
		u.User = url.User("…")
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.Fragment, u.RawFragment = "", ""
	return strings.Replace(u.String(), "%E2%80%A6@", "…@", 1)
}
