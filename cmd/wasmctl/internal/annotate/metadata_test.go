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

package annotate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

const minimal = "protocolVersion: v1\nmutating: false\nrules: []\n"

func TestParseMetadata(t *testing.T) {
	rule := func(resources string) string {
		return "mutating: false\nrules:\n- {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: " +
			resources + "}\n"
	}
	for _, test := range []struct{ name, yaml, want, err string }{
		{
			name: "keys are sorted", yaml: minimal,
			want: `{"mutating":false,"protocolVersion":"v1","rules":[]}`,
		},
		{
			name: "unknown fields stay", yaml: minimal + "new: [1]\n",
			want: `{"mutating":false,"new":[1],"protocolVersion":"v1","rules":[]}`,
		},
		{
			name: "bare rules", yaml: "protocolVersion: v1\nmutating: false\nrules:\n",
			want: `{"mutating":false,"protocolVersion":"v1","rules":[]}`,
		},
		{
			name: "rules are null", yaml: "mutating: false\nrules: null\n",
			err: "rules: required field is missing",
		},
		{
			name: "rules are a tilde", yaml: "mutating: false\nrules: ~\n",
			err: "rules: required field is missing",
		},
		{
			name: "bare optional fields",
			yaml: minimal +
				"contextAwareResources:\nbackgroundAudit:\npolicyType:\nexecutionMode:\nannotations:\nhostCapabilities:\nminimumKubewardenVersion:\n",
			want: `{"mutating":false,"protocolVersion":"v1","rules":[]}`,
		},
		{
			name: "annotations are texts",
			yaml: minimal + "annotations: {a: 1.0, b: true, c: yes, d: 0x1F, e: 'q', f: ~}\n",
			want: `{"annotations":{"a":"1.0","b":"true","c":"yes","d":"0x1F","e":"q","f":"~"},"mutating":false,"protocolVersion":"v1","rules":[]}`,
		},
		{
			name: "an annotation that is a list", yaml: minimal + "annotations: {a: [b]}\n",
			err: "annotations: array does not fit: write a string",
		},
		{
			name: "yes", yaml: "rules: []\nmutating: yes\n",
			err: `mutating: "yes" is not a boolean: write true or false`,
		},
		{
			name: "off", yaml: minimal + "backgroundAudit: off\n",
			err: `backgroundAudit: "off" is not a boolean: write true or false`,
		},
		{
			name: "fields missing", yaml: "protocolVersion: v1\n",
			err: "rules: required field is missing\nmutating: required field is missing",
		},
		{name: "key twice", yaml: minimal + "mutating: true\n", err: "already set"},
		{name: "not an object", yaml: "- a\n", err: "the metadata is not an object"},
		{name: "nothing", yaml: "", err: "the metadata is not an object"},
		{
			name: "wrong type", yaml: "mutating: 'yes'\n",
			err: "mutating: string does not fit: write true or false",
		},
		{
			name: "mode", yaml: minimal + "executionMode: kubewarden\n",
			err: `executionMode: "kubewarden" is none of kubewarden-wapc, wasi, opa, gatekeeper`,
		},
		{
			name: "version of waPC", yaml: "protocolVersion: Unknown\nmutating: false\nrules: []\n",
			err: `protocolVersion: "Unknown" is not supported by execution mode kubewarden-wapc`,
		},
		{
			name: "version of others",
			yaml: "executionMode: wasi\nprotocolVersion: v2\nmutating: false\nrules: []\n",
			err:  `protocolVersion: "v2" is neither "v1" nor "Unknown"`,
		},
		{
			name: "type", yaml: minimal + "policyType: cooked\n",
			err: `policyType: "cooked" is neither kubernetes nor raw`,
		},
		{
			name: "kind", yaml: minimal + "contextAwareResources: [{apiVersion: v1}]\n",
			err: "contextAwareResources[0]: apiVersion and kind are both required",
		},
		{
			name: "capability", yaml: minimal + "hostCapabilities: [oci]\n",
			err: `hostCapabilities: host capability pattern "oci": names a group of capabilities`,
		},
		{name: "rule",
			yaml: "mutating: false\nrules: [{apiGroups: ['*', a], operations: [PATCH, '*']}]\n",
			err: `rules[0].apiGroups: "*" stands for all: remove the other entries
rules[0].apiVersions: write at least one entry
rules[0].operations: "*" stands for all: remove the other entries
rules[0].operations: "PATCH" is none of CREATE, UPDATE, DELETE, CONNECT, *
rules[0].resources: write at least one entry`},
		{name: "empty resource", yaml: rule("['']"), err: "rules[0].resources: an entry is empty"},
		{
			name: "all and more", yaml: rule("['*/*', pods]"),
			err: `rules[0].resources: "*/*" stands for all: remove the other entries`,
		},
		{
			name: "star and a resource", yaml: rule("['*', pods]"),
			err: `rules[0].resources: "pods" is already covered by "*": remove one`,
		},
		{
			name: "star and a subresource", yaml: rule("['*', pods/status]") +
				"protocolVersion: v1\n",
		},
		{
			name: "subresources of one", yaml: rule("[pods/*, pods/status]"),
			err: `"pods/status" is already covered by "pods/*": remove one`,
		},
		{name: "one and its subresources", yaml: rule("[pods, pods/*]") + "protocolVersion: v1\n"},
		{
			name: "a subresource of all", yaml: rule("['*/status', pods/status]"),
			err: `"pods/status" is already covered by "*/status": remove one`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			metadata, err := ParseMetadata([]byte(test.yaml))
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			got, err := metadata.JSON()
			require.NoError(t, err)
			if test.want != "" {
				require.Equal(t, test.want, string(got))
			}
		})
	}
}

func TestMetadataIsCompleted(t *testing.T) {
	metadata, err := ParseMetadata([]byte("mutating: false\nrules: []\n"))
	require.NoError(t, err)
	_, err = metadata.JSON()
	require.EqualError(t, err, "protocolVersion: required field is missing")
	metadata.SetProtocolVersion("v1")
	metadata.SetUsage("# How")
	got, err := metadata.JSON()
	require.NoError(t, err)
	require.JSONEq(t,
		`{"annotations":{"io.kubewarden.policy.usage":"# How"},"mutating":false,"protocolVersion":"v1","rules":[]}`,
		string(got))
}

func TestUndeclared(t *testing.T) {
	metadata, err :=
		ParseMetadata([]byte(minimal + "hostCapabilities: [oci/*, net/v1/dns_lookup_host]\n"))
	require.NoError(t, err)
	missing, superfluous := metadata.Undeclared([]string{"kubernetes/can_i", "oci/v1/verify"})
	require.Equal(t, []string{"kubernetes/can_i"}, missing)
	require.Equal(t, []string{"net/v1/dns_lookup_host"}, superfluous)

	metadata, err = ParseMetadata([]byte(minimal))
	require.NoError(t, err)
	missing, superfluous = metadata.Undeclared([]string{"kubernetes/can_i"})
	require.Empty(t, missing)
	require.Empty(t, superfluous)
}

// The modules of the sample policies contain the sample metadata.
func TestModule(t *testing.T) {
	policy := filepath.Join("..", "..", "..", "..", "test", "policies", "always-pull")
	text, err := os.ReadFile(filepath.Join(policy, "metadata.yml"))
	require.NoError(t, err)
	module, err := os.ReadFile(filepath.Join(policy, "policy.wasm"))
	require.NoError(t, err)
	metadata, err := ParseMetadata(text)
	require.NoError(t, err)
	again, err := metadata.Module(module)
	require.NoError(t, err)
	require.Equal(t, module, again, "the section is replaced by the same")

	read, err := abi.ReadMetadata(again)
	require.NoError(t, err)
	require.True(t, read.Mutating)
	section, err := metadata.JSON()
	require.NoError(t, err)
	require.True(t, json.Valid(section))

	_, err = metadata.Module([]byte("hello"))
	require.ErrorContains(t, err, "8 bytes of the magic number")
}

// JavaScript's host call import gets the name that hosts provide.
func TestJavy(t *testing.T) {
	module := &wasm.Module{
		Types: []wasm.FuncType{{}},
		Imports: []wasm.Import{{Module: "kubewarden:javy/host", Name: "call"},
			{Module: "kubewarden:javy/host", Name: "other"}},
	}
	metadata, err := ParseMetadata([]byte(minimal))
	require.NoError(t, err)
	annotated, err := metadata.Module(module.Encode())
	require.NoError(t, err)
	decoded, err := wasm.Decode(annotated)
	require.NoError(t, err)
	require.Equal(t, "host", decoded.Imports[0].Module)
	require.Equal(t, "kubewarden:javy/host", decoded.Imports[1].Module)
}

// A guest with _initialize alone gets a start function that Kubewarden's host calls. Other guests
// stay unchanged.
func TestReactor(t *testing.T) {
	for name, test := range map[string]struct {
		mode          string
		exports, want []string
	}{
		"reactor": {"kubewarden-wapc", []string{"_initialize", "__guest_call"},
			[]string{"_start", "__guest_call"}},
		"mode left out": {"", []string{"_initialize"}, []string{"_start"}},
		"reactor with others": {"kubewarden-wapc", []string{"wapc_init", "_initialize"},
			[]string{"wapc_init", "_initialize"}},
		"command": {"kubewarden-wapc", []string{"_start", "_initialize"},
			[]string{"_start", "_initialize"}},
		"no start function": {"kubewarden-wapc", []string{"__guest_call"},
			[]string{"__guest_call"}},
		"no guest of waPC": {"wasi", []string{"_initialize"}, []string{"_initialize"}},
	} {
		t.Run(name, func(t *testing.T) {
			module := &wasm.Module{
				Types:     []wasm.FuncType{{}},
				Functions: []uint32{0},
				Bodies:    []wasm.Body{{Code: []byte{0x0b}}},
			}
			for _, export := range test.exports {
				module.Exports = append(module.Exports, wasm.Export{Name: export})
			}
			yaml := minimal
			if test.mode != "" {
				yaml += "executionMode: " + test.mode + "\n"
			}
			if test.mode == "wasi" {
				yaml = strings.Replace(yaml, "v1", "Unknown", 1)
			}
			metadata, err := ParseMetadata([]byte(yaml))
			require.NoError(t, err)
			annotated, err := metadata.Module(module.Encode())
			require.NoError(t, err)
			decoded, err := wasm.Decode(annotated)
			require.NoError(t, err)
			var exports []string
			for _, export := range decoded.Exports {
				exports = append(exports, export.Name)
			}
			require.Equal(t, test.want, exports)
		})
	}
}

// Any module is either refused, or contains the metadata afterwards.
func FuzzSection(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00" +
		custom(abi.MetadataSection, "old") + custom("name", "x")))
	f.Fuzz(func(t *testing.T, module []byte) {
		annotated, err := Section(module, []byte("{}"))
		if err != nil {
			return
		}
		again, err := Section(annotated, []byte("{}"))
		require.NoError(t, err)
		require.Equal(t, annotated, again)
	})
}

// A name that resembles a known one is reported. Other unknown names may belong to future versions.
func TestNearMisses(t *testing.T) {
	m, err :=
		ParseMetadata(
			[]byte("mutating: false\nnew: [1]\ncontextAwareResource: []\nhostcapabilities: []\n" +
				"rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], resource: [a], scope: b}]\n" +
				"annotations: {io.kubewarden.policy.titel: a, io.kubewarden.policy.title: b, org.example: c}\n"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"contextAwareResource: no host reads a field of this name: did you mean contextAwareResources?",
		"hostcapabilities: no host reads a field of this name: did you mean hostCapabilities?",
		"rules[0].resource: no host reads a field of this name: did you mean resources?",
		"annotations.io.kubewarden.policy.titel: no host reads a field of this name: did you mean io.kubewarden.policy.title?",
	}, m.NearMisses())
	_, err = ParseMetadata([]byte("mutatng: false\nrules: []\n"))
	require.EqualError(t, err,
		`mutating: required field is missing: "mutatng" may be a misspelling of it`)
}
