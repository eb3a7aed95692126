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

package annotate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

const wildcard = "*"

var operations = []string{"CREATE", "UPDATE", "DELETE", "CONNECT", wildcard}

// validate checks for metadata that should not be published. This includes everything that a host
// refuses, and some things that hosts accept.
func (m *Metadata) validate() error {
	onHost := m.Metadata
	onHost.PolicyType = cmp.Or(onHost.PolicyType, "kubernetes")
	// guests are asked
	onHost.ProtocolVersion = cmp.Or(onHost.ProtocolVersion, abi.ProtocolVersion1)
	// another host may be newer
	onHost.MinimumKubewardenVersion = ""
	errs := []error{onHost.Validate()}
	add := func(format string, arguments ...any) {
		errs = append(errs, fmt.Errorf(format, arguments...))
	}
	if _, err := capabilities.ParsePatterns(m.HostCapabilities); err != nil {
		add("hostCapabilities: %w", err)
	}
	for n := range m.Rules {
		for _, err := range validateRule(&m.Rules[n]) {
			add("rules[%d].%w", n, err)
		}
	}
	return errors.Join(errs...)
}

func validateRule(r *abi.Rule) []error {
	var errs []error
	for _, list := range []struct {
		name    string
		entries []string
	}{{"apiGroups", r.APIGroups}, {"apiVersions", r.APIVersions}, {"operations", r.Operations}} {
		switch {
		case len(list.entries) == 0:
			errs = append(errs, fmt.Errorf("%s: write at least one entry", list.name))
		case slices.Contains(list.entries, wildcard) && len(list.entries) > 1:
			errs = append(errs,
				fmt.Errorf(`%s: "*" stands for all: remove the other entries`, list.name))
		}
	}
	for _, operation := range r.Operations {
		if !slices.Contains(operations, operation) {
			errs = append(errs,
				fmt.Errorf("operations: %q is none of %s", operation,
					strings.Join(operations, ", ")))
		}
	}
	return append(errs, validateResources(r.Resources)...)
}

// validateResources applies the API server's rules for the resources of webhooks.
func validateResources(resources []string) []error {
	var errs []error
	has := func(resource string) bool { return slices.Contains(resources, resource) }
	if len(resources) == 0 {
		errs = append(errs, errors.New("resources: write at least one entry"))
	}
	if has("*/*") && len(resources) > 1 {
		errs = append(errs, errors.New(`resources: "*/*" stands for all: remove the other entries`))
	}
	for _, entry := range resources {
		resource, sub, isSub := strings.Cut(entry, "/")
		switch {
		case entry == "":
			errs = append(errs, errors.New("resources: an entry is empty"))
		case !isSub && entry != wildcard && has(wildcard):
			errs = append(errs,
				fmt.Errorf(`resources: %q is already covered by "*": remove one`, entry))
		case isSub && sub != wildcard && has(resource+"/*"):
			errs = append(errs,
				fmt.Errorf("resources: %q is already covered by %q: remove one", entry,
					resource+"/*"))
		case isSub && resource != wildcard && has("*/"+sub):
			errs = append(errs,
				fmt.Errorf("resources: %q is already covered by %q: remove one", entry, "*/"+sub))
		}
	}
	return errs
}
