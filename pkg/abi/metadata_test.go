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

package abi

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// annotated returns a module that consists of custom sections only, given as alternating names and
// contents.
func annotated(sections ...string) []byte {
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	for n := 0; n < len(sections); n += 2 {
		body := binary.AppendUvarint(nil, uint64(len(sections[n])))
		body = append(append(body, sections[n]...), sections[n+1]...)
		wasm = append(wasm, 0)
		wasm = append(binary.AppendUvarint(wasm, uint64(len(body))), body...)
	}
	return wasm
}

const validMetadata = `{
  "protocolVersion": "v1",
  "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
  "annotations": {"io.kubewarden.policy.title": "x"},
  "mutating": false,
  "contextAware": false,
  "contextAwareResources": [{"apiVersion": "v1", "kind": "Namespace"}],
  "hostCapabilities": ["kubernetes/get_resource"],
  "minimumKubewardenVersion": "1.30.0"
}`

func TestReadMetadata(t *testing.T) {
	metadata, err := ReadMetadata(annotated("name", "xyz", MetadataSection, validMetadata,
		MetadataSection, "{}"))
	require.NoError(t, err)
	require.Equal(t, &Metadata{
		ProtocolVersion: "v1",
		Rules: []Rule{{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
			Operations: []string{"CREATE"},
		}},
		Annotations:              map[string]string{"io.kubewarden.policy.title": "x"},
		BackgroundAudit:          true,
		ContextAwareResources:    []ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
		ExecutionMode:            ExecutionModeWaPC,
		PolicyType:               "kubernetes",
		HostCapabilities:         []string{"kubernetes/get_resource"},
		MinimumKubewardenVersion: "1.30.0",
	}, metadata)
}

func TestReadMetadataRefuses(t *testing.T) {
	with := func(old, replacement string) []byte {
		require.Contains(t, validMetadata, old)
		return annotated(MetadataSection, strings.Replace(validMetadata, old, replacement, 1))
	}
	for _, test := range []struct {
		name string
		wasm []byte
		err  string
	}{
		{"no module", []byte("text"), "malformed wasm module at offset 0x0"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "component"},
		{"none", annotated("name", ""),
			`the module has no metadata (custom section "io.kubewarden.metadata"): annotate it, for example with wasmctl annotate`},
		{"a section that lies", append(annotated(), 0, 0x7f, 1),
			"malformed wasm module at offset 0x"},
		{"a size without end", append(annotated(), 0, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
			"malformed wasm module at offset 0x"},
		{"a name that lies", append(annotated(), 0, 1, 9), "malformed wasm module at offset 0x"},
		{"no JSON", annotated(MetadataSection, "rules"), "invalid character"},
		{"rules", with(`"rules"`, `"Rules"`), "rules: required field is missing"},
		{"null rules",
			annotated(MetadataSection,
				`{"protocolVersion": "v1", "rules": null, "mutating": false}`),
			"rules: required field is missing"},
		{"null mutating", with(`"mutating": false`, `"mutating": null`),
			"mutating: required field is missing"},
		{"null background audit", with(`"mutating"`, `"backgroundAudit": null, "mutating"`),
			"backgroundAudit: is null"},
		{"null execution mode", with(`"mutating"`, `"executionMode": null, "mutating"`),
			"executionMode: is null"},
		{"null policy type", with(`"mutating"`, `"policyType": null, "mutating"`),
			"policyType: is null"},
		{"null resources", with(`[{"apiVersion": "v1", "kind": "Namespace"}]`, `null`),
			"contextAwareResources: is null"},
		{"null annotation", with(`"io.kubewarden.policy.title": "x"`, `"a": null`),
			`annotations["a"]: is null`},
		{"null host capability", with(`"kubernetes/get_resource"`, `null`),
			"hostCapabilities[0]: is null"},
		{"null rule", with(`"rules": [`, `"rules": [null, `), "rules[0]: is null"},
		{"null list of a rule", with(`"operations": ["CREATE"]`, `"operations": null`),
			"rules[0].operations: required field is missing"},
		{"rule without a list", with(`"apiGroups": [""], `, ``),
			"rules[0].apiGroups: required field is missing"},
		{"null in a rule", with(`["pods"]`, `["pods", null]`), "rules[0].resources[1]: is null"},
		{"null kind", with(`"kind": "Namespace"`, `"kind": null`),
			"contextAwareResources[0]: apiVersion and kind are both required"},
		{"empty protocol version", with(`"v1"`, `"", "executionMode": "wasi"`),
			"protocolVersion: is empty"},
		{"empty minimum", with("1.30.0", ""), "minimumKubewardenVersion: is empty"},
		{"mutating", with(`"mutating"`, `"isMutating"`), "mutating: required field is missing"},
		{"no protocol version", with(`"protocolVersion": "v1",`, ``),
			"protocolVersion: required for execution mode kubewarden-wapc"},
		{"protocol version", with(`"v1"`, `"Unknown"`),
			`protocolVersion: "Unknown" is not supported by execution mode kubewarden-wapc, only "v1" is`},
		{"execution mode", with(`"mutating"`, `"executionMode": "javascript", "mutating"`),
			`executionMode: "javascript" is none of kubewarden-wapc, wasi, opa, gatekeeper`},
		{"protocol version of Rego", with(`"v1"`, `"v2", "executionMode": "gatekeeper"`),
			`protocolVersion: "v2" is neither "v1" nor "Unknown"`},
		{"policy type", with(`"mutating"`, `"policyType": "cooked", "mutating"`),
			`policyType: "cooked" is neither kubernetes nor raw`},
		{"resource", with(`"kind": "Namespace"`, `"kind": ""`),
			"contextAwareResources[0]: apiVersion and kind are both required"},
		{"later minor", with("1.30.0", "1.37.0-rc.1"),
			"the policy requires Kubewarden version 1.37.0-rc.1, this host speaks the protocol of 1.36"},
		{"later major", with("1.30.0", "2.0.0"), "the policy requires Kubewarden version 2.0.0"},
		{"no version", with("1.30.0", "soon"), "minimumKubewardenVersion: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadMetadata(test.wasm)
			require.ErrorContains(t, err, test.err)
		})
	}
}

// Kubewarden's reader takes null for missing in these fields.
func TestReadMetadataWithNulls(t *testing.T) {
	metadata, err :=
		ReadMetadata(annotated(MetadataSection,
			`{"protocolVersion": null, "rules": [], "annotations": null, "mutating": false, "executionMode": "wasi", "hostCapabilities": null, "minimumKubewardenVersion": null}`))
	require.NoError(t, err)
	require.Equal(t, &Metadata{
		Rules:           []Rule{},
		BackgroundAudit: true,
		ExecutionMode:   ExecutionModeWASI,
		PolicyType:      "kubernetes",
	}, metadata)
	_, err =
		ReadMetadata(annotated(MetadataSection,
			`{"protocolVersion": null, "rules": [], "mutating": false}`))
	require.ErrorContains(t, err, "protocolVersion: required for execution mode kubewarden-wapc")
}

// The patch version and pre-release are ignored, as in Kubewarden.
func TestMinimumVersion(t *testing.T) {
	for _, minimum := range []string{"1.36.99", "1.36.0-beta.1", "1.0.0", "0.1.0"} {
		_, err :=
			ReadMetadata(annotated(MetadataSection,
				strings.Replace(validMetadata, "1.30.0", minimum, 1)))
		require.NoError(t, err, minimum)
	}
}

func FuzzReadMetadata(f *testing.F) {
	f.Add(annotated(MetadataSection, validMetadata))
	f.Add(annotated("name", "x", MetadataSection, "{}"))
	f.Add(append(annotated(), 0, 0x80, 0x80, 0x80, 0x80, 0x80, 1))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		metadata, err := ReadMetadata(wasm)
		require.Equal(t, err == nil, metadata != nil)
	})
}
