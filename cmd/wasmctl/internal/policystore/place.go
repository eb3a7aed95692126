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

package policystore

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// digestBeginning matches the beginning of a digest.
var digestBeginning = regexp.MustCompile("^[0-9a-f]{4,64}$")

// IsDigestBeginning reports whether a text may name a module by the beginning of its digest, with
// at least four digits.
func IsDigestBeginning(text string) bool { return digestBeginning.MatchString(text) }

// Place returns the place of a URI in a store: a path relative to the store's directory, with
// slashes. A reference without a tag has the place of "latest".
func Place(uri string) (string, error) {
	place, err := placeOf(uri)
	if err != nil {
		return "", fmt.Errorf("the store has no place for it: %w", err)
	}
	return place, nil
}

func placeOf(uri string) (string, error) {
	if moduleuri.IsTooLong(uri) {
		return "", fmt.Errorf(
			"the URI is longer than %d bytes after its scheme", moduleuri.MaxBytes)
	}
	scheme, rest, _ := strings.Cut(uri, "://")
	switch scheme {
	case "registry":
		ref, err := moduleuri.ParseReference(rest)
		if err != nil {
			return "", err
		}
		if ref.Digest != "" {
			return scheme + "/" + ref.Registry + "/" + ref.Repository + "@" + ref.Digest, nil
		}
		return scheme + "/" + ref.Registry + "/" + ref.Repository + ":" + ref.Tag, nil
	case "http", "https":
		return placeOfURL(uri)
	}
	return "", errors.New("it begins with none of registry://, https:// and http://")
}

// placeOfURL refuses URLs that would lead out of the place of their host. It also refuses queries,
// which have no place and may contain secrets.
func placeOfURL(uri string) (string, error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return "", errors.New("the URL cannot be parsed") // the error contains the complete URL
	case u.User != nil:
		return "", errors.New("the URL has credentials in it: remove them")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the URL has a query or a fragment")
	}
	host := strings.ToLower(u.Host)
	host = strings.TrimSuffix(host, ":"+moduleuri.DefaultPort(u.Scheme))
	segments := append([]string{u.Scheme, host},
		strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")...)
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." ||
			strings.HasPrefix(segment, temporary) {
			return "", fmt.Errorf("the URL has %q between two slashes, or at its end", segment)
		}
	}
	return path.Join(segments...), nil
}

// uriOf returns the URI of a place. It returns false for a path that [Place] never returns.
func uriOf(place string) (uri string, ok bool) {
	scheme, rest, _ := strings.Cut(place, "/")
	uri = scheme + "://" + rest
	got, err := placeOf(uri)
	return uri, err == nil && got == place
}

// IsFixed reports whether a URI's module may come from a store without asking its source. This is
// true for URLs and for tags other than "latest", because users who pull expect these to keep their
// meaning. It is false for digests, because only the source can show that the bytes have the
// digest.
func IsFixed(uri string) bool {
	place, err := placeOf(uri)
	if err != nil || !strings.HasPrefix(place, "registry/") {
		return err == nil
	}
	return !strings.HasSuffix(place, ":latest") && !strings.Contains(place, "@")
}
