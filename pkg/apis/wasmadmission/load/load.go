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

// Package load decodes the files that control the WasmAdmission plugin: its configuration and the
// break-glass file.
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

// Empty returns an empty configuration, with all defaults and no policies. A server uses it if it
// gets no configuration.
func Empty() []byte {
	return []byte(
		`{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration"}`)
}

// MaxSize is the size of the largest configuration that the plugin reads, in bytes: 8 MiB.
const MaxSize = 8 << 20

// kind describes the content of a file.
type kind struct {
	// name is the kind, and file is how errors call the file.
	name, file string
	// wrongValues decodes each field separately and returns an error for each one that fails.
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

// LoadFromData decodes a configuration in YAML or JSON, in any served version, and returns it in
// the internal form with defaults applied. It is strict: fields that are unknown or occur twice are
// errors, and it reports all of them, one a line. If nothing else is wrong, it also returns the
// configuration without these fields, only so that the caller can report further problems. It does
// not validate values; use package validation.
func LoadFromData(data []byte) (*wasmadmission.WasmAdmissionConfiguration, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf(
			"the configuration is larger than %d bytes: make it smaller", MaxSize)
	}
	object, err := decode(data, configuration)
	config, _ := object.(*wasmadmission.WasmAdmissionConfiguration)
	return config, err
}

// BreakGlassFromData decodes the content of a break-glass file as strictly as [LoadFromData]
// decodes a configuration. The caller must bound the size of data.
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
	// The decoder gets the original data, so that it can name lines, unless the data has merge
	// keys: it would report a key that overrides a merged one as a duplicate.
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

// fieldsOf splits a document into its fields. It returns an error for a document of another kind,
// because reports about its fields would only mislead.
func (k *kind) fieldsOf(document []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(document, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf(
			"%s is not an object: write fields with values, apiVersion and kind first",
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
		// The beginning is enough to find the value.
		return fmt.Errorf("%s is %.200s: write %s", name, value, want)
	}
	return nil
}
