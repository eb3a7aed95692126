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

package loopback

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
)

const (
	managedLabel  = "kube-aggregator.kubernetes.io/automanaged"
	lastUsedLabel = "kubernetes.io/legacy-token-last-used"

	autoUpdateAnnotation = "apf.kubernetes.io/autoupdate-spec"
)

// ofBootstrap returns a function that reports whether an object of flow control is one that the
// apiserver maintains. The apiserver writes objects of known names. It removes objects that an
// earlier version of it wrote, and recognizes them by its annotation. If these writes fail, it does
// not start.
func ofBootstrap(named func(string) bool) func(admission.Attributes) bool {
	return func(attr admission.Attributes) bool {
		if attr.GetOperation() != admission.Delete {
			return named(attr.GetName())
		}
		accessor, err := meta.Accessor(attr.GetOldObject())
		return err == nil && accessor.GetAnnotations()[autoUpdateAnnotation] == "true"
	}
}

// registersItself reports whether an APIService is one that the apiserver registers, for its own
// APIs or for those of CustomResourceDefinitions. The apiserver labels them.
func registersItself(attr admission.Attributes) bool {
	object := attr.GetObject()
	if attr.GetOperation() == admission.Delete {
		object = attr.GetOldObject()
	}
	accessor, err := meta.Accessor(object)
	return err == nil && accessor.GetLabels()[managedLabel] != ""
}

// tracksLegacyToken reports whether an update of a Secret only changes the label with the time when
// its token was last used.
func tracksLegacyToken(attr admission.Attributes) bool {
	before, after := withoutTracking(attr.GetOldObject()), withoutTracking(attr.GetObject())
	return before != nil && after != nil && equality.Semantic.DeepEqual(before, after)
}

// withoutTracking returns a copy of an object without this label and without the fields that the
// apiserver changes with every update. It returns nil for anything without metadata.
func withoutTracking(object runtime.Object) runtime.Object {
	if _, err := meta.Accessor(object); err != nil {
		return nil
	}
	object = object.DeepCopyObject()
	accessor, err := meta.Accessor(object)
	if err != nil {
		return nil
	}
	labels := maps.Clone(accessor.GetLabels())
	delete(labels, lastUsedLabel)
	if len(labels) == 0 {
		labels = nil
	}
	accessor.SetLabels(labels)
	accessor.SetManagedFields(nil)
	accessor.SetResourceVersion("")
	return object
}
