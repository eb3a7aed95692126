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
	"strings"

	"oras.land/oras-go/v2/registry"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// reference names an artifact in a registry.
type reference struct{ moduleuri.Reference }

// parseReference parses a registry:// URI.
func parseReference(uri string) (reference, error) {
	text, ok := strings.CutPrefix(uri, "registry://")
	if !ok {
		return reference{}, errors.New("it does not begin with registry://")
	}
	ref, err := moduleuri.ParseReference(text)
	if err != nil && !errors.Is(err, moduleuri.ErrDigest) &&
		!errors.Is(err, moduleuri.ErrEmptyTag) {
		err = fmt.Errorf(
			"%w: write registry://host/repository:tag or registry://host/repository@sha256:…", err)
	}
	return reference{ref}, err
}

// remote returns the reference as the registry's client represents it.
func (r reference) remote() registry.Reference {
	return registry.Reference{Registry: r.Registry, Repository: r.Repository}
}

// at returns the reference to a manifest in the same repository.
func (r reference) at(digest string) reference {
	r.Tag, r.Digest = "", digest
	return r
}

// name returns the name that the registry's client asks for: a tag or a digest.
func (r reference) name() string {
	if r.Digest != "" {
		return r.Digest
	}
	return r.Tag
}

// String returns the reference as a URI in canonical form.
func (r reference) String() string {
	if r.Digest != "" {
		return "registry://" + r.Registry + "/" + r.Repository + "@" + r.Digest
	}
	return "registry://" + r.Registry + "/" + r.Repository + ":" + r.Tag
}

// Redact returns a URI without its potentially secret parts: the user, the password, and the query,
// which may contain a signature.
func Redact(uri string) string {
	if strings.HasPrefix(uri, "registry://") || strings.HasPrefix(uri, "file://") ||
		strings.HasPrefix(uri, moduleuri.LayoutScheme+"://") {
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
