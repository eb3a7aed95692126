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

package breakglass

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	sigsjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

// Bounds of a break-glass file.
const (
	// MaxDuration is how far ahead its end may be.
	MaxDuration = 24 * time.Hour

	maxBytes       = 64 << 10
	maxPolicies    = 1000
	maxReasonBytes = 1024
)

// What a break-glass file says it is.
const (
	apiVersion = "wasm.admission.config.k8s.io/v1alpha1"
	kind       = "BreakGlass"
)

// everyPolicy stands for all policies.
const everyPolicy = "*"

// order is what a break-glass file says.
type order struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Until is when the order ends, as RFC 3339 has it.
	Until string `json:"until"`
	// Policies are the names of policies and groups, or "*" alone.
	Policies []string `json:"policies"`
	// Reason says why, for those who read the log.
	Reason string `json:"reason"`

	until time.Time
}

// decode reads an order and checks it, but for its time. It is strict, and says all
// that is wrong, a line each.
func decode(data []byte) (*order, error) {
	if err := checkSoleDocument(data); err != nil {
		return nil, err
	}
	asJSON, err := strictyaml.ToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("the file is neither YAML nor JSON: %w", err)
	}
	o := &order{}
	strict, err := sigsjson.UnmarshalStrict(asJSON, o, sigsjson.DisallowUnknownFields, sigsjson.DisallowDuplicateFields)
	if err != nil {
		return nil, fmt.Errorf("the file is no %s: %w", kind, err)
	}
	if err := errors.Join(append(strict, o.check()...)...); err != nil {
		return nil, err
	}
	return o, nil
}

// checkSoleDocument refuses a file that has no document, or more than one: the parser
// reads the first and would leave out the rest in silence.
func checkSoleDocument(data []byte) error {
	switch strictyaml.Count(data, 2) {
	case 0:
		return fmt.Errorf("the file is empty: write a %s, or remove it", kind)
	case 1:
		return nil
	}
	return errors.New("the file holds more than one document: put everything into one")
}

func (o *order) check() (errs []error) {
	if o.APIVersion != apiVersion {
		errs = append(errs, fmt.Errorf("apiVersion is %q: write %s", o.APIVersion, apiVersion))
	}
	if o.Kind != kind {
		errs = append(errs, fmt.Errorf("kind is %q: write %s", o.Kind, kind))
	}
	var err error
	if o.until, err = time.Parse(time.RFC3339, o.Until); err != nil {
		errs = append(errs, fmt.Errorf("until is %q: write a time as RFC 3339 has it, such as 2006-01-02T15:04:05Z", o.Until))
	}
	if o.Reason == "" || len(o.Reason) > maxReasonBytes {
		errs = append(errs, fmt.Errorf("reason has %d bytes: write why, in at most %d", len(o.Reason), maxReasonBytes))
	}
	return append(errs, o.checkPolicies()...)
}

func (o *order) checkPolicies() (errs []error) {
	switch {
	case len(o.Policies) == 0:
		return []error{fmt.Errorf("policies is empty: write names of policies, or %q for all", everyPolicy)}
	case len(o.Policies) > maxPolicies:
		return []error{fmt.Errorf("policies has %d entries, at most %d are allowed: write %q for all", len(o.Policies), maxPolicies, everyPolicy)}
	case slices.Equal(o.Policies, []string{everyPolicy}):
		return nil
	}
	for n, name := range o.Policies {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("policies[%d] is %q: %s", n, name, strings.Join(problems, "; ")))
		}
	}
	return errs
}
