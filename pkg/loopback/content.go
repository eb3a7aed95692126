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

// ofBootstrap returns whether an object of flow control is one that the apiserver keeps
// up: it writes those of known names, and removes those that it has written in another
// version, which it has annotated. It does not start if it cannot.
func ofBootstrap(named func(string) bool) func(admission.Attributes) bool {
	return func(attr admission.Attributes) bool {
		if attr.GetOperation() != admission.Delete {
			return named(attr.GetName())
		}
		accessor, err := meta.Accessor(attr.GetOldObject())
		return err == nil && accessor.GetAnnotations()[autoUpdateAnnotation] == "true"
	}
}

// registersItself is whether an APIService is one that the apiserver registers for its
// own APIs and those of CustomResourceDefinitions, which it labels.
func registersItself(attr admission.Attributes) bool {
	object := attr.GetObject()
	if attr.GetOperation() == admission.Delete {
		object = attr.GetOldObject()
	}
	accessor, err := meta.Accessor(object)
	return err == nil && accessor.GetLabels()[managedLabel] != ""
}

// tracksLegacyToken is whether an update of a Secret changes nothing but the label that
// says when its token was used last.
func tracksLegacyToken(attr admission.Attributes) bool {
	before, after := withoutTracking(attr.GetOldObject()), withoutTracking(attr.GetObject())
	return before != nil && after != nil && equality.Semantic.DeepEqual(before, after)
}

// withoutTracking returns a copy of an object without the label, and without what the
// apiserver itself changes with any update; nil for what is no object.
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
