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

// Origin is where an object comes from.
type Origin struct {
	// File is the path of the file.
	File string
	// Document is which of the documents in the file it is, counted from 1 without
	// those that are empty.
	Document int
	// Item is which of the items of a List it is, counted from 1; 0 if it is in none.
	Item int
	// Kind, Namespace and Name are what the object says of itself, as far as it does.
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

// abbreviate bounds how much of a name messages repeat: no valid one is longer.
func abbreviate(name string) string {
	const most = 253
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// id returns the name of the object's policy: the id that Kubewarden gives it. The ids of
// objects of different kinds and namespaces can be the same all the same.
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
