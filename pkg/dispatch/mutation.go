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
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/admission"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// mutation is the change that a policy requests.
type mutation struct {
	// change says whether the policy requests another object.
	change verdict.Change
	// before and after are the object as the policy got it and as the policy returned it, in JSON.
	// They are set if the two differ.
	before, after json.RawMessage
	// applied is set if the change was applied. changed is set if it made the object different:
	// JSON that differs may decode to the same object.
	applied, changed bool
	// unknown lists dropped fields that the object's kind does not have.
	unknown string
}

// readMutation returns the change that a policy requests. It compares the guest's JSON as it is.
// Decoding waits until it is known that the policy may mutate the object and does.
func readMutation(reviewed *review, response *abi.ValidationResponse) mutation {
	if response.MutatedObject == nil {
		return mutation{}
	}
	before, after := reviewed.object, response.MutatedObject
	m := mutation{change: verdict.ChangeOf(before, after)}
	if m.change == verdict.Changed {
		m.before, m.after = before, after
	}
	return m
}

// maxAddedParts bounds the values and names in a mutated object, beyond twice the number in the
// original. Decoding may take up to a hundred bytes for each.
const maxAddedParts = 200_000

// bounded returns an error if decoding the mutated object would take far more memory than the
// original. It does not decode the object.
func (m *mutation) bounded(added int) error {
	if parts, limit := jsonparts.UpperBound(m.after), 2*jsonparts.UpperBound(m.before)+
		added; parts > limit {
		return fmt.Errorf(
			"mutated object: has up to %d values and names, at most %d are allowed: twice as many as the request's object has, plus %d",
			parts, limit, added)
	}
	return nil
}

// take applies the change to the request's object.
func (m *mutation) take(r *request) error {
	if err := m.bounded(maxAddedParts); err != nil {
		return err
	}
	changed, unknown, err := false, "", error(nil)
	if remote, is := r.attr.(RemoteAttributes); is {
		changed, err = remote.Change(m.after)
	} else {
		changed, unknown, err = r.change(m.after)
	}
	if err != nil {
		return err
	}
	m.applied, m.changed, m.unknown = true, changed, unknown
	return nil
}

// change replaces the object with the one in the JSON. It decodes and defaults the object like the
// mutating webhooks after a patch. It reports whether the object is different, and which unknown
// fields it dropped.
func (r *request) change(wanted []byte) (changed bool, unknown string, err error) {
	defer func() {
		if p := recover(); p != nil {
			changed, err = false, fmt.Errorf("mutated object: panic while it was applied: %v", p)
		}
	}()
	versioned := r.mutable.versioned
	object, err := r.decode(wanted, versioned)
	if strict, is := runtime.AsStrictDecodingError(err); is {
		unknown, err = describeStrict(strict.Errors()), nil
		if !r.mutable.dropUnknown {
			err = errors.New(unknown)
		}
	}
	if err != nil {
		return false, "", fmt.Errorf("mutated object: %w", err)
	}
	before := versioned.VersionedObject.Object()
	if err := sameIdentity(before, object, versioned.GetOperation()); err != nil {
		return false, "", fmt.Errorf("mutated object: %w", err)
	}
	changed = !equality.Semantic.DeepEqual(before, object)
	r.interfaces.GetObjectDefaulter().Default(object)
	if err := r.tryConvert(object); err != nil {
		return false, "", fmt.Errorf("mutated object: %w", err)
	}
	versioned.UpdateObject(object)
	r.reviews = nil
	return changed, unknown, nil
}

// describeStrict lists fields that are unknown or occur twice, but only the first few.
func describeStrict(errs []error) string {
	const most = 5
	var names []string
	for n, err := range errs {
		if n == most {
			names = append(names, fmt.Sprintf("and %d more", len(errs)-n))
			break
		}
		names = append(names, cut(err.Error(), maxDetailBytes))
	}
	return strings.Join(names, ", ")
}

// decode decodes an object of the request's kind. Custom resources have no Go type, and are decoded
// as they are. With a strict decoding error about unknown fields, decode also returns the object
// without these fields.
func (r *request) decode(data []byte,
	versioned *admission.VersionedAttributes) (runtime.Object, error) {
	var into runtime.Object = &unstructured.Unstructured{}
	_, custom := versioned.VersionedObject.Object().(*unstructured.Unstructured)
	if !custom {
		var err error
		if into, err = r.interfaces.GetObjectCreater().New(versioned.VersionedKind); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory,
		r.interfaces.GetObjectCreater(), r.interfaces.GetObjectTyper(),
		serializer.SerializerOptions{Strict: !custom})
	object, kind, err := decoder.Decode(data, nil, into)
	if err != nil && !runtime.IsStrictDecodingError(err) {
		return nil, err
	}
	if *kind != versioned.VersionedKind {
		return nil, fmt.Errorf("its kind is %s, but the request has %s", describe(*kind),
			describe(versioned.VersionedKind))
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	return object, err
}

func describe(kind schema.GroupVersionKind) string {
	version, name := kind.ToAPIVersionAndKind()
	return fmt.Sprintf("%q of %q", name, version)
}

// sameIdentity checks that a changed object is still the one in the request. A policy may name an
// object that is created without a name.
func sameIdentity(before, after runtime.Object, operation admission.Operation) error {
	was, err := meta.Accessor(before)
	if err != nil {
		return nil //nolint:nilerr // it has no metadata, such as the options of an exec
	}
	is, err := meta.Accessor(after)
	if err != nil {
		return err
	}
	unnamed := was.GetName() == "" && operation == admission.Create
	if is.GetName() != was.GetName() && !unnamed {
		return fmt.Errorf("its metadata.name is %q, but the request has %q", is.GetName(),
			was.GetName())
	}
	if is.GetNamespace() != was.GetNamespace() {
		return fmt.Errorf("its metadata.namespace is %q, but the request has %q",
			is.GetNamespace(), was.GetNamespace())
	}
	return nil
}

// tryConvert checks that an object converts to the apiserver's internal version. The real
// conversion happens once, after all policies. It is too late then to tell which policy is to
// blame.
func (r *request) tryConvert(object runtime.Object) error {
	return r.interfaces.GetObjectConvertor().Convert(object, r.attr.GetObject().DeepCopyObject(),
		nil)
}
