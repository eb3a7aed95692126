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

// mutation is what a policy wants to change.
type mutation struct {
	// change is what it wants of the object.
	change verdict.Change
	// before and after are the object as the policy got it and as it wants it, in JSON.
	// They are set if it wants another one.
	before, after json.RawMessage
	// applied is whether it was taken over, and changed whether the object has become
	// another one by that: what is decoded may still mean the same.
	applied, changed bool
	// unknown names fields that were dropped, because the object's kind has none such.
	unknown string
}

// readMutation finds out what a policy wants. What a guest says is compared as it stands:
// it is decoded once it is known that the policy may mutate, and mutates.
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

// maxAddedParts is how many values and names an object may have more than twice as many as
// it had: what is decoded may take up to a hundred bytes for each.
const maxAddedParts = 200_000

// bounded returns an error if the object that is wanted would take far more memory than
// the one that there is, before it is decoded.
func (m *mutation) bounded(added int) error {
	if parts, limit := jsonparts.UpperBound(m.after), 2*jsonparts.UpperBound(m.before)+
		added; parts > limit {
		return fmt.Errorf(
			"mutated object: has up to %d values and names, at most %d are allowed: twice those of the request's object and %d",
			parts, limit, added)
	}
	return nil
}

// take makes the object what a policy wants it to be.
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

// change makes the object what a policy wants it to be, given as JSON: decoded and
// defaulted as the mutating webhooks do it with an object that they patched. It reports
// whether that is another object, and what in it is unknown and was dropped.
func (r *request) change(wanted []byte) (changed bool, unknown string, err error) {
	defer func() {
		if p := recover(); p != nil {
			changed, err = false, fmt.Errorf("mutated object: panic while it was taken over: %v", p)
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

// describeStrict names fields that are unknown or there twice, the first few of them.
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

// decode reads an object of the kind that there is: custom resources, which have no Go
// type, as they are. With an error of strict decoding about fields that the kind does
// not have, the object is returned without them.
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
		return nil, fmt.Errorf("its kind is %s, that of the request is %s", describe(*kind),
			describe(versioned.VersionedKind))
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	return object, err
}

func describe(kind schema.GroupVersionKind) string {
	version, name := kind.ToAPIVersionAndKind()
	return fmt.Sprintf("%q of %q", name, version)
}

// sameIdentity checks that a changed object is still the one that the request is for. A
// name may be given to an object that is created and has none yet.
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
		return fmt.Errorf("its metadata.name is %q, that of the request is %q", is.GetName(),
			was.GetName())
	}
	if is.GetNamespace() != was.GetNamespace() {
		return fmt.Errorf("its metadata.namespace is %q, that of the request is %q",
			is.GetNamespace(), was.GetNamespace())
	}
	return nil
}

// tryConvert finds out whether an object can be converted to what the apiserver works
// with. That happens once, after all policies, when nobody can tell any more who is to
// blame.
func (r *request) tryConvert(object runtime.Object) error {
	return r.interfaces.GetObjectConvertor().Convert(object, r.attr.GetObject().DeepCopyObject(),
		nil)
}
