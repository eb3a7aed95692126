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

// Command required-labels is a Kubewarden policy. Every object must have the
// labels in the settings, with values that match their expressions. It only
// reads metadata, and so works on any kind, including custom resources.
package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

// settings maps each required label to the regular expression (RE2, not
// anchored) that its value must match.
type settings struct {
	Labels map[string]string `json:"labels"`
}

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

// Validate is called when the policy is loaded.
func (s settings) Validate() error {
	if len(s.Labels) == 0 {
		return errors.New("labels: at least one label is required")
	}
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		if label == "" {
			return errors.New("labels: the name of a label must not be empty")
		}
		if _, err := regexp.Compile(s.Labels[label]); err != nil {
			return fmt.Errorf("labels: label %q: %w", label, err)
		}
	}
	return nil
}

func validate(r *policy.Request, s settings) (policy.Response, error) {
	if r.Operation != policy.Create && r.Operation != policy.Update {
		return policy.Accept(), nil
	}
	object, err := policy.Object[policy.PartialObjectMetadata](r)
	if err != nil {
		return policy.Response{}, err
	}
	metadata := object.Metadata
	// Finalizers must be removable from an object that is being deleted.
	if metadata.DeletionTimestamp != nil {
		return policy.Accept(), nil
	}

	var faults []string
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		pattern, err := regexp.Compile(s.Labels[label])
		if err != nil {
			return policy.Response{}, fmt.Errorf("label %q: %w", label, err)
		}
		value, ok := metadata.Labels[label]
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("label %q is missing", label))
		case !pattern.MatchString(value):
			faults = append(faults,
				fmt.Sprintf("label %q is %q and does not match %q", label, value, pattern))
		}
	}
	if len(faults) > 0 {
		return policy.Reject("required labels: " + strings.Join(faults, "; ")), nil
	}
	return policy.Accept(), nil
}
