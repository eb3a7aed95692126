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

package dispatch

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
)

// fixedVersions holds a request in every version that policies want, each converted once. It is for
// objects that do not change.
type fixedVersions struct {
	attr       admission.Attributes
	interfaces admission.ObjectInterfaces
	made       []*admission.VersionedAttributes
}

var _ generic.VersionedAttributeAccessor = &fixedVersions{}

// VersionedAttribute implements [generic.VersionedAttributeAccessor].
func (v *fixedVersions) VersionedAttribute(
	kind schema.GroupVersionKind) (*admission.VersionedAttributes, error) {
	for _, versioned := range v.made {
		if versioned.VersionedKind == kind {
			return versioned, nil
		}
	}
	versioned, err := admission.NewVersionedAttributes(v.attr, kind, v.interfaces)
	if err != nil {
		return nil, err
	}
	v.made = append(v.made, versioned)
	return versioned, nil
}

// mutableVersion holds a request in one version at a time, the version of the current policy. The
// next policy gets the changed object, converted if it wants another version.
type mutableVersion struct {
	attr       admission.Attributes
	interfaces admission.ObjectInterfaces
	versioned  *admission.VersionedAttributes // nil before the first call
	// dropUnknown drops fields that the kind does not have. Otherwise an object with such a field
	// is an error.
	dropUnknown bool
}

var _ generic.VersionedAttributeAccessor = &mutableVersion{}

// VersionedAttribute implements [generic.VersionedAttributeAccessor].
func (v *mutableVersion) VersionedAttribute(
	kind schema.GroupVersionKind) (*admission.VersionedAttributes, error) {
	if v.versioned == nil {
		versioned, err := admission.NewVersionedAttributes(v.attr, kind, v.interfaces)
		if err != nil {
			return nil, err
		}
		v.versioned = versioned
		return versioned, nil
	}
	if err := admission.ConvertVersionedAttributes(v.versioned, kind, v.interfaces); err != nil {
		return nil, err
	}
	return v.versioned, nil
}

// finish converts a changed object back into the attributes' object.
func (v *mutableVersion) finish() error {
	if v.versioned == nil || v.versioned.VersionedObject.Object() == nil || !v.versioned.Dirty {
		return nil
	}
	return v.interfaces.GetObjectConvertor().Convert(v.versioned.VersionedObject.Object(),
		v.attr.GetObject(), nil)
}
