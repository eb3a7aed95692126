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

package kubernetes

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"
)

// The bounds of a guest's request.
const (
	// maxNameBytes is long enough for every valid Kubernetes name.
	maxNameBytes     = 1024
	maxSelectorBytes = 16 << 10
	maxMasks         = 256
	maxMaskBytes     = 1024
	maxGroups        = 1000
)

// listRequest is the payload of list_resources_all, and of list_resources_by_namespace, which also
// has a namespace. Nil pointers are missing fields.
type listRequest struct {
	APIVersion    *string  `json:"api_version"`
	Kind          *string  `json:"kind"`
	Namespace     *string  `json:"namespace"`
	LabelSelector *string  `json:"label_selector"`
	FieldSelector *string  `json:"field_selector"`
	FieldMasks    []string `json:"field_masks"`
}

// getRequest is the payload of get_resource.
type getRequest struct {
	APIVersion   *string  `json:"api_version"`
	Kind         *string  `json:"kind"`
	Name         *string  `json:"name"`
	Namespace    *string  `json:"namespace"`
	DisableCache bool     `json:"disable_cache"`
	FieldMasks   []string `json:"field_masks"`
}

// canIRequest is the payload of can_i.
type canIRequest struct {
	Review       *accessReview `json:"subject_access_review"`
	DisableCache bool          `json:"disable_cache"`
}

// accessReview asks whether somebody may do something. The SDKs use two spellings for the
// attributes.
type accessReview struct {
	User            *string             `json:"user"`
	Groups          []string            `json:"groups"`
	SnakeAttributes *resourceAttributes `json:"resource_attributes"`
	CamelAttributes *resourceAttributes `json:"resourceAttributes"`
}

type resourceAttributes struct {
	Namespace   string  `json:"namespace"`
	Verb        *string `json:"verb"`
	Group       string  `json:"group"`
	Version     string  `json:"version"`
	Resource    *string `json:"resource"`
	Subresource string  `json:"subresource"`
	Name        string  `json:"name"`
}

// decode decodes a payload. It ignores unknown fields, as Kubewarden does.
func decode(payload []byte, into any) error {
	if err := json.UnmarshalCaseSensitivePreserveInts(payload, into); err != nil {
		return &refusal{fmt.Errorf("cannot read the payload: %w", err)}
	}
	return nil
}

// required returns the value of a required field, and checks its length.
func required(name string, value *string) (string, error) {
	if value == nil {
		return "", missingField(name)
	}
	return *value, bounded(name, *value, maxNameBytes)
}

func missingField(name string) error {
	return &refusal{fmt.Errorf("missing field `%s`", name)}
}

// bounded checks the length of a field's value.
func bounded(name, value string, bytes int) error {
	if len(value) > bytes {
		return &refusal{
			fmt.Errorf("%s is too long: %d bytes, the limit is %d", name, len(value), bytes),
		}
	}
	return nil
}

// pathSegment checks a value that becomes part of a request's path.
func pathSegment(name, value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s is not valid UTF-8", name)
	}
	if problems := content.IsPathSegmentName(value); len(problems) > 0 {
		return fmt.Errorf("%s %q %s", name, value, problems[0])
	}
	return nil
}

// namespace returns the namespace of a request for a resource. It is empty for cluster-scoped
// resources.
func (r *resource) namespace(value *string) (string, error) {
	namespace := ""
	if value != nil {
		namespace = *value
	}
	switch {
	case r.namespaced && namespace == "":
		return "", fmt.Errorf("Resource %s is namespaced, but no namespace was provided", r) //nolint:staticcheck // the text that Kubewarden's users know
	case !r.namespaced && namespace != "":
		return "", fmt.Errorf(
			"resource %s is cluster wide. Cannot search for it inside of a namespace", r)
	}
	if err := bounded("namespace", namespace, maxNameBytes); err != nil {
		return "", err
	}
	return namespace, pathSegment("namespace", namespace)
}

// selectors returns the request's selectors in a canonical form, which is the same for equivalent
// selectors.
func (r *listRequest) selectors() (label, field string, err error) {
	if r.LabelSelector != nil {
		if err := bounded("label_selector", *r.LabelSelector, maxSelectorBytes); err != nil {
			return "", "", err
		}
		selector, err := labels.Parse(*r.LabelSelector)
		if err != nil {
			return "", "", fmt.Errorf("label_selector: %w", err)
		}
		label = selector.String()
	}
	if r.FieldSelector != nil {
		if err := bounded("field_selector", *r.FieldSelector, maxSelectorBytes); err != nil {
			return "", "", err
		}
		selector, err := fields.ParseSelector(*r.FieldSelector)
		if err != nil {
			return "", "", fmt.Errorf("field_selector: %w", err)
		}
		field = selector.String()
	}
	return label, field, nil
}

// attributes returns the attributes of the review, in either spelling.
func (r *accessReview) attributes() (*resourceAttributes, error) {
	switch {
	case r.SnakeAttributes != nil && r.CamelAttributes != nil:
		return nil, &refusal{errors.New("duplicate field `resource_attributes`")}
	case r.SnakeAttributes != nil:
		return r.SnakeAttributes, nil
	case r.CamelAttributes != nil:
		return r.CamelAttributes, nil
	default:
		return nil, missingField("resource_attributes")
	}
}
