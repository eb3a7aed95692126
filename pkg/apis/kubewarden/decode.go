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

package kubewarden

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/explain"
)

// group is the API group of the manifests.
const group = "policies.kubewarden.io"

// versions are the supported versions of the group. They have the same fields.
var versions = []string{"v1", "v1alpha2"}

const (
	kindClusterPolicy = "ClusterAdmissionPolicy"
	kindPolicy        = "AdmissionPolicy"
	kindClusterGroup  = "ClusterAdmissionPolicyGroup"
	kindGroup         = "AdmissionPolicyGroup"
	// kindServer has no effect in process.
	kindServer = "PolicyServer"
)

var kinds = []string{kindClusterPolicy, kindPolicy, kindClusterGroup, kindGroup, kindServer}

func isNamespaced(kind string) bool { return kind == kindPolicy || kind == kindGroup }

// identify reads the version, kind, namespace and name of an object. It sets them in origin.
func identify(content []byte, origin *Origin) (schema.GroupVersion, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	var mismatch *json.UnmarshalTypeError
	switch err := kjson.UnmarshalCaseSensitivePreserveInts(content, &head); {
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return schema.GroupVersion{}, fmt.Errorf(
			"%s: %s does not fit: write %s", mismatch.Field, mismatch.Value,
			explain.Expected(mismatch.Type))
	case err != nil:
		return schema.GroupVersion{}, errors.New(
			"is not an object: write fields with values, apiVersion and kind first")
	}
	origin.Kind, origin.Namespace, origin.Name = head.Kind, head.Metadata.Namespace,
		head.Metadata.Name
	if head.APIVersion == "" {
		return schema.GroupVersion{}, fmt.Errorf("apiVersion: is missing: write %s/v1", group)
	}
	version, err := schema.ParseGroupVersion(head.APIVersion)
	if err != nil {
		return version, fmt.Errorf("apiVersion: %w: write %s/v1", err, group)
	}
	return version, nil
}

// items returns the items of a List, and false for other objects.
func items(content []byte, version schema.GroupVersion,
	kind string) ([]json.RawMessage, bool, error) {
	ofGroup := version.Group == group && slices.Contains(kinds, strings.TrimSuffix(kind, "List")) &&
		strings.HasSuffix(kind, "List")
	if !ofGroup && (version.String() != "v1" || kind != "List") {
		return nil, false, nil
	}
	var list struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   json.RawMessage   `json:"metadata"`
		Items      []json.RawMessage `json:"items"`
	}
	strict, err := kjson.UnmarshalStrict(content, &list)
	if err != nil {
		return nil, true, errors.New("items: is not a list: write one of objects")
	}
	return list.Items, true, explained(strict)
}

// checkKind rejects objects of other groups, versions and kinds. Otherwise a misspelled kind would
// silently have no effect.
func checkKind(version schema.GroupVersion, kind string) error {
	switch {
	case version.Group != group:
		return fmt.Errorf(
			"apiVersion: %q is not of %s: remove the object, or move it to where no policies are read from",
			version, group)
	case !slices.Contains(versions, version.Version):
		return fmt.Errorf("apiVersion: %q is not supported: write %s/v1", version, group)
	case !slices.Contains(kinds, kind):
		return fmt.Errorf("kind: %q is not supported: write one of %s", kind,
			strings.Join(kinds, ", "))
	}
	return nil
}

// decode decodes an object strictly and returns its spec. If the only problems are fields that are
// unknown or occur twice, it returns both the spec without them and the error.
func decode[T any](content []byte) (*T, error) {
	var decoded object[T]
	strict, err := kjson.UnmarshalStrict(content, &decoded)
	if err != nil {
		return nil, wrongSpec[T](content, err)
	}
	return &decoded.Spec, explained(strict)
}

func explained(strict []error) error {
	var errs []error
	for _, err := range strict {
		errs = append(errs, explain.Strict(err)...)
	}
	return errors.Join(errs...)
}

// wrongSpec returns an error for each field of the spec whose value has the wrong type.
func wrongSpec[T any](content []byte, err error) error {
	var fields struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(content, &fields) != nil {
		return errors.New("spec: is not an object: write fields with values")
	}
	wrong := explain.Fields(field.NewPath("spec"), fields.Spec, func() any { return new(T) })
	if len(wrong) == 0 {
		return err
	}
	return errors.Join(wrong...)
}
