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
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Origin says where an object comes from.
type Origin struct {
	// File is the path of the file.
	File string
	// Document is the number of the document in the file, counted from 1 without empty ones.
	Document int
	// Item is the number of the item in a List, counted from 1. 0 means that it is in no List.
	Item int
	// Kind, Namespace and Name are those in the object, or "" if they are missing.
	Kind, Namespace, Name string
}

// String names the object, such as
//
//	/etc/policies.d/pods.yaml[2] ClusterAdmissionPolicy "no-privileged-pods"
func (o Origin) String() string {
	text := fmt.Sprintf("%s[%d]", o.File, o.Document)
	if o.Item > 0 {
		text += fmt.Sprintf(".items[%d]", o.Item)
	}
	if o.Kind != "" {
		text += fmt.Sprintf(" %.64s", o.Kind)
	}
	switch {
	case o.Name == "":
	case isNamespaced(o.Kind) && o.Namespace != "":
		text += fmt.Sprintf(" %q", abbreviate(o.Namespace)+"/"+abbreviate(o.Name))
	default:
		text += fmt.Sprintf(" %q", abbreviate(o.Name))
	}
	return text
}

// abbreviate bounds how much of a name messages repeat. No valid name is longer.
func abbreviate(name string) string {
	const most = 253
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// id returns the name of the object's policy, which is the ID that Kubewarden gives it. Objects of
// different kinds and namespaces can still have the same ID.
func (o Origin) id() string {
	switch o.Kind {
	case kindClusterPolicy:
		return "clusterwide-" + o.Name
	case kindClusterGroup:
		return "clusterwide-group-" + o.Name
	case kindPolicy:
		return "namespaced-" + o.Namespace + "-" + o.Name
	}
	return "namespaced-group-" + o.Namespace + "-" + o.Name
}

// validate checks the object's name and namespace.
func (o Origin) validate() field.ErrorList {
	metadata := field.NewPath("metadata")
	var errs field.ErrorList
	switch {
	case o.Name == "":
		errs = append(errs,
			field.Required(metadata.Child("name"),
				"an object needs a name: write one, such as no-privileged-pods"))
	case len(validation.IsDNS1123Subdomain(o.Name)) > 0:
		errs = append(errs,
			field.Invalid(metadata.Child("name"), o.Name,
				"is not a DNS subdomain: write at most 253 lower-case letters, "+
					"digits, '-' and '.', with a letter or digit at both ends and around each '.'"))
	case len(o.id()) > validation.DNS1123SubdomainMaxLength:
		errs = append(errs, field.Invalid(metadata.Child("name"), o.Name, fmt.Sprintf(
			"makes the name of the policy, %s, longer than %d characters: write a shorter one",
			o.id(), validation.DNS1123SubdomainMaxLength)))
	}
	switch {
	case !isNamespaced(o.Kind):
	case o.Namespace == "":
		errs = append(errs,
			field.Required(metadata.Child("namespace"),
				"an object of this kind is in a namespace: write its name"))
	case len(validation.IsDNS1123Label(o.Namespace)) > 0:
		errs = append(errs,
			field.Invalid(metadata.Child("namespace"), o.Namespace,
				"is not the name of a namespace: write at most 63 "+
					"lower-case letters, digits and '-', with a letter or digit at both ends"))
	}
	return errs
}
