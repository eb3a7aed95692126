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

package webhook

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured/unstructuredscheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
)

// interfaces handle the objects of a review. Only the apiserver knows their kinds, so interfaces
// convert, create and default nothing: the apiserver does that before or after.
type interfaces struct{ attributes *attributes }

var (
	_ admission.ObjectInterfaces       = interfaces{}
	_ runtime.EquivalentResourceMapper = interfaces{}
)

// GetObjectCreater implements [admission.ObjectInterfaces].
func (i interfaces) GetObjectCreater() runtime.ObjectCreater {
	return noConversion{i.attributes.kind}
}

// GetObjectTyper implements [admission.ObjectInterfaces].
func (i interfaces) GetObjectTyper() runtime.ObjectTyper {
	return unstructuredscheme.NewUnstructuredObjectTyper()
}

// GetObjectDefaulter implements [admission.ObjectInterfaces].
func (i interfaces) GetObjectDefaulter() runtime.ObjectDefaulter {
	return noConversion{i.attributes.kind}
}

// GetObjectConvertor implements [admission.ObjectInterfaces].
func (i interfaces) GetObjectConvertor() runtime.ObjectConvertor {
	return noConversion{i.attributes.kind}
}

// GetEquivalentResourceMapper implements [admission.ObjectInterfaces].
func (i interfaces) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper { return i }

// EquivalentResourcesFor implements [runtime.EquivalentResourceMapper]. The only equivalent
// resource that is known is the one to which the apiserver has converted the object.
func (i interfaces) EquivalentResourcesFor(schema.GroupVersionResource,
	string) []schema.GroupVersionResource {
	return []schema.GroupVersionResource{i.attributes.resource}
}

// KindFor implements [runtime.EquivalentResourceMapper].
func (i interfaces) KindFor(resource schema.GroupVersionResource,
	_ string) schema.GroupVersionKind {
	if resource != i.attributes.resource {
		return schema.GroupVersionKind{}
	}
	return i.attributes.kind
}

// noConversion returns an error for every conversion of objects and for creating other objects.
type noConversion struct{ is schema.GroupVersionKind }

// New implements [runtime.ObjectCreater].
func (n noConversion) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	return nil, fmt.Errorf(
		"the admission review is for %s, and an object in it is not available as %s", n.is,
		kind)
}

// Default implements [runtime.ObjectDefaulter].
func (noConversion) Default(runtime.Object) {}

// Convert implements [runtime.ObjectConvertor].
func (n noConversion) Convert(_, _, _ any) error {
	return fmt.Errorf("objects of %s cannot be converted outside of the apiserver", n.is)
}

// ConvertToVersion implements [runtime.ObjectConvertor].
func (n noConversion) ConvertToVersion(runtime.Object,
	runtime.GroupVersioner) (runtime.Object, error) {
	return nil, n.Convert(nil, nil, nil)
}

// ConvertFieldLabel implements [runtime.ObjectConvertor].
func (n noConversion) ConvertFieldLabel(schema.GroupVersionKind, string,
	string) (label, value string, err error) {
	return "", "", n.Convert(nil, nil, nil)
}
