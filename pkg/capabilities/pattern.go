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
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wildcard matches everything. It is a pattern by itself, or the last segment of one.
const wildcard = "*"

// group maps a segment of a capability path to the segments below it. A segment that ends a path
// maps to nil.
type group map[string]group

// tree holds the paths of all host capabilities that a grant can name. It follows Kubewarden's
// catalog. It omits tracing, which needs no grant. For oci, net and crypto, the version is part
// of the operation's name.
var tree = group{
	"crypto": {
		"v1": {"is_certificate_trusted": nil},
	},
	"kubernetes": {
		"can_i":                       nil,
		"get_resource":                nil,
		"list_resources_all":          nil,
		"list_resources_by_namespace": nil,
	},
	"net": {
		"v1": {"dns_lookup_host": nil},
	},
	"oci": {
		"v1": {
			"manifest_digest":     nil,
			"oci_manifest":        nil,
			"oci_manifest_config": nil,
			"verify":              nil,
		},
		"v2": {"verify": nil},
	},
}

// has reports whether a path below the group, such as "v1/verify", names a capability.
func (g group) has(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		next, known := g[segment]
		if !known {
			return false
		}
		g = next
	}
	return g == nil
}

// Pattern grants one host capability or a group of them. The zero value grants none. A Pattern is
// immutable and safe for concurrent use.
type Pattern struct {
	// text is the pattern as written. ParsePattern has checked it.
	text string
}

// ParsePattern parses one entry of a policy's hostCapabilities: "*" for every capability,
// "<group>/*" such as "oci/*" or "oci/v1/*" for everything below a group, or one complete path such
// as "oci/v1/verify". The syntax is Kubewarden's. Errors suggest what to write instead, and do not
// repeat the text.
func ParsePattern(text string) (Pattern, error) {
	if text == "" {
		return Pattern{}, errors.New(
			`is empty: write a path such as "oci/v1/verify", a prefix such as "oci/*", or "*" for all`)
	}
	if text == wildcard {
		return Pattern{text: text}, nil
	}
	path, all := strings.CutSuffix(text, "/"+wildcard)
	if strings.Contains(path, wildcard) {
		return Pattern{}, errors.New(`"*" may only stand alone or be the last segment, as in "oci/*"`)
	}
	segments := strings.Split(path, "/")
	at := tree
	for i, segment := range segments {
		before := strings.Join(segments[:i], "/")
		if at == nil {
			return Pattern{}, endsAt(before)
		}
		next, known := at[segment]
		if !known {
			return Pattern{}, unknownSegment(segment, before, at)
		}
		at = next
	}
	if all && at == nil {
		return Pattern{}, endsAt(path)
	}
	if !all && at != nil {
		return Pattern{}, fmt.Errorf(
			"names a group of capabilities: write %q for all of it, or add one of %s",
			text+"/"+wildcard, names(at))
	}
	return Pattern{text: text}, nil
}

func endsAt(path string) error {
	return fmt.Errorf("%q is a whole path and nothing may follow it: write %q", path, path)
}

func unknownSegment(segment, before string, at group) error {
	if before == "" {
		return fmt.Errorf(
			"there is no host capability %q: write one that begins with %s, or %q for all",
			segment, names(at), wildcard)
	}
	return fmt.Errorf("there is no %q below %q: write one of %s, or %q for all of it",
		segment, before, names(at), before+"/"+wildcard)
}

func names(of group) string {
	return strings.Join(slices.Sorted(maps.Keys(of)), ", ")
}

// Matches reports whether the pattern grants the capability with this path. The path is
// "<namespace>/<operation>" of a host call, such as "kubernetes/can_i" or "oci/v2/verify". Matches
// accepts any path, even if no capability has it. The code that serves the call must refuse unknown
// paths.
func (p Pattern) Matches(path string) bool {
	if p.text == wildcard {
		return true
	}
	if prefix, ok := strings.CutSuffix(p.text, wildcard); ok {
		return len(path) > len(prefix) && strings.HasPrefix(path, prefix)
	}
	return p.text != "" && p.text == path
}

// String returns the pattern as written.
func (p Pattern) String() string {
	return p.text
}

// Patterns holds all grants of a policy. Empty Patterns grant nothing.
type Patterns []Pattern

// ParsePatterns parses all entries of a policy's hostCapabilities. The error names every invalid
// entry on a separate line.
func ParsePatterns(texts []string) (Patterns, error) {
	var errs []error
	patterns := make(Patterns, 0, len(texts))
	for _, text := range texts {
		pattern, err := ParsePattern(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("host capability pattern %q: %w", text, err))
			continue
		}
		patterns = append(patterns, pattern)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return patterns, nil
}

// Matches reports whether any of the patterns grants the capability with this path.
func (p Patterns) Matches(path string) bool {
	return slices.ContainsFunc(p, func(pattern Pattern) bool { return pattern.Matches(path) })
}
