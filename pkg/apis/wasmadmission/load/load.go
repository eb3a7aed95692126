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

// Package load decodes the files that the WasmAdmission plugin is told by: its configuration
// and the break-glass file.
package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/install"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// Empty returns a configuration that says nothing, which is what a server has that was given
// none: all defaults and no policy.
func Empty() []byte {
	return []byte(
		`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration"}`)
}

// MaxSize is the largest configuration that is read, in bytes: 8 MiB.
const MaxSize = 8 << 20

// kind is what a file holds.
type kind struct {
	// name is the kind's, and file what errors call the file.
	name, file string
	// wrongValues decodes each field by itself and returns an error for each that cannot be.
	wrongValues func(fields map[string]json.RawMessage) []error
}

var (
	configuration = &kind{"WasmAdmissionConfiguration", "the configuration", wrongValues}
	breakGlass    = &kind{"BreakGlass", "the break-glass file",
		func(fields map[string]json.RawMessage) []error {
			return explain.Fields(nil, fields, func() any { return &v1alpha1.BreakGlass{} })
		}}
)

var codecs = newCodecs()

func newCodecs() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict)
}

// LoadFromData decodes a configuration in YAML or JSON, in any served version, and
// returns it in the internal form with defaults applied. It is strict: fields that are
// unknown or occur twice are errors, and all of them are reported, one a line. If nothing
// else is wrong, the configuration without them comes with the error, so that what else is
// wrong can be reported, too; it is not to be used. Values are not validated; that is for
// the caller to do, with package validation.
func LoadFromData(data []byte) (*wasmadmission.WasmAdmissionConfiguration, error) {
	if len(data) > MaxSize {
		return nil,
			fmt.Errorf("the configuration is larger than %d bytes: make it smaller", MaxSize)
	}
	object, err := decode(data, configuration)
	config, _ := object.(*wasmadmission.WasmAdmissionConfiguration)
	return config, err
}

// BreakGlassFromData decodes the content of a break-glass file, which must be bounded, as
// [LoadFromData] decodes a configuration, and as strictly.
func BreakGlassFromData(data []byte) (*wasmadmission.BreakGlass, error) {
	object, err := decode(data, breakGlass)
	order, _ := object.(*wasmadmission.BreakGlass)
	return order, err
}

// decode decodes a file of a kind. The object is nil, or of that kind.
func decode(data []byte, k *kind) (runtime.Object, error) {
	document, err := k.toJSON(data)
	if err != nil {
		return nil, err
	}
	fields, err := k.fieldsOf(document)
	if err != nil {
		return nil, err
	}
	// The decoder gets the data as they came, so that it can name lines, unless they have
	// merge keys: it takes a key that overrides a merged one for a key that is there twice.
	if bytes.Contains(data, []byte("<<")) {
		if merged, err := strictyaml.ToJSON(data); err == nil {
			data = merged
		}
	}
	object, err := runtime.Decode(codecs.UniversalDecoder(), data)
	if err != nil {
		err = k.explain(err, fields)
	}
	return object, err
}

// fieldsOf splits a document into its fields. It refuses one that is something else: what
// would be said about the fields of that would only mislead.
func (k *kind) fieldsOf(document []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(document, &fields); err != nil || fields == nil {
		return nil,
			fmt.Errorf("%s is not an object: write fields with values, apiVersion and kind first",
				k.file)
	}
	err := errors.Join(
		checkEqual("apiVersion", fields["apiVersion"], v1alpha1.SchemeGroupVersion.String()),
		checkEqual("kind", fields["kind"], k.name),
	)
	if err != nil {
		return nil, err
	}
	return fields, nil
}

func checkEqual(name string, value json.RawMessage, want string) error {
	var got string
	if value == nil {
		return fmt.Errorf("%s is missing: write %s", name, want)
	}
	if json.Unmarshal(value, &got) != nil || got != want {
		// The beginning is enough to find it by.
		return fmt.Errorf("%s is %.200s: write %s", name, value, want)
	}
	return nil
}
