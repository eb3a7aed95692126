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

// Package annotate adds metadata to policy modules. It converts a YAML file to JSON and appends it
// as the custom section io.kubewarden.metadata, which every host reads.
package annotate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// usageAnnotation is the annotation with a policy's manual.
const usageAnnotation = "io.kubewarden.policy.usage"

// Metadata is the metadata to write into a module.
type Metadata struct {
	abi.Metadata
	// fields holds all fields of the file, including unknown ones.
	fields map[string]any
}

// ParseMetadata parses metadata in YAML. It reports all problems, except for a missing protocol
// version.
func ParseMetadata(text []byte) (*Metadata, error) {
	object, err := strictyaml.ToJSON(text)
	if err != nil {
		return nil, explain.YAML(err)
	}
	m := &Metadata{}
	if err := json.Unmarshal(object, &m.fields); err != nil || m.fields == nil {
		return nil, errors.New("the metadata is not an object: write fields with values")
	}
	if err := readScalars(text, m.fields); err != nil {
		return nil, err
	}
	dropNulls(m.fields)
	if object, err = json.Marshal(m.fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(object, &m.Metadata); err != nil {
		return nil, explain.Value(err)
	}
	if m.ExecutionMode == "" {
		m.ExecutionMode = abi.ExecutionModeWaPC
	}
	var errs []error
	for _, required := range []string{"rules", "mutating"} {
		if m.fields[required] == nil {
			err := fmt.Errorf("%s: required field is missing", required)
			for name := range m.fields {
				if !isField(name) && explain.Nearest(name, []string{required}) != "" {
					err = fmt.Errorf("%w: %q may be a misspelling of it", err, name)
				}
			}
			errs = append(errs, err)
		}
	}
	if err := errors.Join(append(errs, m.validate())...); err != nil {
		return nil, err
	}
	return m, nil
}

// dropNulls removes fields with a null value. They mean the same as missing ones, but Kubewarden's
// reader refuses most nulls.
func dropNulls(fields map[string]any) {
	for name, value := range fields {
		if value == nil {
			delete(fields, name)
		}
	}
}

// SetProtocolVersion sets the version of the protocol that the guest speaks.
func (m *Metadata) SetProtocolVersion(version string) {
	m.ProtocolVersion, m.fields["protocolVersion"] = version, version
}

// SetUsage sets the policy's manual, in Markdown.
func (m *Metadata) SetUsage(text string) {
	annotations, ok := m.fields["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		m.fields["annotations"] = annotations
	}
	annotations[usageAnnotation] = text
}

// JSON returns the content of the metadata section. It is compact and has sorted keys, so that the
// same file always results in the same module.
func (m *Metadata) JSON() ([]byte, error) {
	if m.ProtocolVersion == "" {
		return nil, errors.New("protocolVersion: required field is missing")
	}
	return json.Marshal(m.fields)
}

// Module returns a copy of a module with the metadata. It also adapts imports and exports to those
// that hosts expect.
func (m *Metadata) Module(module []byte) ([]byte, error) {
	section, err := m.JSON()
	if err != nil {
		return nil, err
	}
	decoded, err := wasm.Decode(module)
	if err != nil {
		return nil, err
	}
	adopted := adoptJavy(decoded)
	if startOnKubewarden(m.ExecutionMode, decoded) || adopted {
		module = decoded.Encode()
	}
	return Section(module, section)
}

// Undeclared returns the host capabilities that a module seems to call but the metadata does not
// list, and the other way round. It returns nothing if the metadata lists no host capabilities at
// all.
func (m *Metadata) Undeclared(seen []string) (missing, superfluous []string) {
	if m.HostCapabilities == nil {
		return nil, nil
	}
	missing = slices.DeleteFunc(slices.Clone(seen), func(path string) bool {
		return slices.ContainsFunc(m.HostCapabilities, covers(path))
	})
	superfluous = slices.DeleteFunc(slices.Clone(m.HostCapabilities), func(declared string) bool {
		return strings.HasSuffix(declared, "*") || slices.Contains(seen, declared)
	})
	return missing, superfluous
}

// covers returns a function that reports whether a declared pattern covers the path.
func covers(path string) func(declared string) bool {
	return func(declared string) bool {
		prefix, all := strings.CutSuffix(declared, "*")
		return declared == path || all && strings.HasPrefix(path, prefix)
	}
}
