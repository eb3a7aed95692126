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
	"fmt"
	"strings"
)

func (m *Mirror) validate() error {
	from, to := kindOf(m.Prefix), kindOf(m.Replacement)
	switch {
	case from == "":
		return fmt.Errorf(
			"sources.mirrors: prefix %q does not begin with registry:// or https:// (or http://) and a host",
			Redact(m.Prefix))
	case from != to:
		return fmt.Errorf(
			"sources.mirrors: replacement %q of %q is of another kind: only a registry can replace a registry, and only a web server a web server",
			Redact(m.Replacement), Redact(m.Prefix))
	case strings.HasSuffix(m.Prefix, "/") != strings.HasSuffix(m.Replacement, "/"):
		return fmt.Errorf(
			"sources.mirrors: either both or neither of prefix %q and replacement %q must end with a slash",
			Redact(m.Prefix), Redact(m.Replacement))
	}
	return nil
}

// kindOf tells registries from web servers. Empty means neither.
func kindOf(uri string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	switch {
	case rest == "" || strings.HasPrefix(rest, "/"):
		return ""
	case scheme == "http" || scheme == "https":
		return "server"
	case scheme == "registry":
		return "registry"
	}
	return ""
}

// location is a place that may have a module.
type location struct {
	uri    string
	mirror bool
}

// locations returns the places that may have a module, in the order to try.
func (s *Sources) locations(uri string) []location {
	original := location{uri: uri}
	var best *Mirror
	for n := range s.Mirrors {
		if m := &s.Mirrors[n]; m.fits(uri) && (best == nil || len(m.Prefix) > len(best.Prefix)) {
			best = m
		}
	}
	if best == nil {
		return []location{original}
	}
	return []location{{uri: best.Replacement + uri[len(best.Prefix):], mirror: true}, original}
}

// fits reports whether a URI begins with the prefix, and the prefix ends at the end of a segment:
// registry://host/a is not a prefix of registry://host/ab, nor registry://host of
// registry://host:5000/a.
func (m *Mirror) fits(uri string) bool {
	rest, ok := strings.CutPrefix(uri, m.Prefix)
	if !ok || rest == "" || strings.HasSuffix(m.Prefix, "/") {
		return ok
	}
	_, inside, _ := strings.Cut(m.Prefix, "://")
	return rest[0] == '/' || strings.Contains(inside, "/") &&
		strings.ContainsRune(":@?", rune(rest[0]))
}
