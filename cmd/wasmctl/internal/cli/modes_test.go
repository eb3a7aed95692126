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

package cli_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

const (
	waPCPolicy       = policies + "pod-privileged/policy.wasm"
	wasiPolicy       = policies + "inherit-owner/optimized.wasm"
	opaPolicy        = policies + "team-label/policy.wasm"
	gatekeeperPolicy = policies + "unique-ingress-host/policy.wasm"
	opaSettings      = `{"teams":{"web":"Ann"}}`
)

// bare writes a module without its metadata, and returns the path.
func bare(t *testing.T, module string) string {
	t.Helper()
	binary, err := os.ReadFile(module)
	require.NoError(t, err)
	decoded, err := wasm.Decode(binary)
	require.NoError(t, err)
	decoded.Custom = nil
	path := filepath.Join(t.TempDir(), "bare.wasm")
	require.NoError(t, os.WriteFile(path, decoded.Encode(), 0o600))
	return path
}

// program writes a WASI command that accepts everything, and returns the path.
func program(t *testing.T) string {
	t.Helper()
	const answer = `{"accepted":true,"valid":true}`
	number := wasm.ValueType{Code: wasm.I32}
	m := wasm.Module{
		Types: []wasm.FuncType{{},
			{
				Params:  []wasm.ValueType{number, number, number, number},
				Results: []wasm.ValueType{number},
			}},
		Imports: []wasm.Import{{
			Module: "wasi_snapshot_preview1", Name: "fd_write", TypeIndex: 1,
		}},
		Functions: []uint32{0},
		Memories:  []wasm.Limits{{Min: 1}},
		Exports: []wasm.Export{{Name: "_start", Index: 1},
			{Name: "memory", Kind: wasm.ExternMemory}},
		// fd_write(1, 0, 1, 8)
		Bodies: []wasm.Body{{Code: []byte{
			0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, 0x10, 0, 0x1a, 0x0b,
		}}},
		Data: []wasm.DataSegment{{
			Offset: wasm.I32Const(0),
			Bytes: append([]byte{16, 0, 0, 0, byte(len(answer)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
				answer...),
		}},
	}
	return file(t, "program.wasm", string(m.Encode()))
}

// A module without metadata runs in each mode, however the mode is selected.
func TestRunInMode(t *testing.T) {
	for mode, test := range map[string]struct{ module, request, settings, want string }{
		"kubewarden": {waPCPolicy, "pod-privileged/testdata/pod-create-privileged.json", "{}",
			`"allowed":false,"status":{"message":"Privileged container`},
		"kubewarden-wapc": {waPCPolicy, "pod-privileged/testdata/pod-create-privileged.json", "{}",
			`"allowed":false,"status":{"message":"Privileged container`},
		"wasi": {program(t), "pod-privileged/testdata/pod-create-privileged.json", "{}",
			`"allowed":true`},
		"opa": {opaPolicy, "team-label/testdata/pod-create-no-label.json", opaSettings,
			`"allowed":false,"status":{"message":"label team is missing","code":422}`},
		"gatekeeper": {gatekeeperPolicy, "unique-ingress-host/testdata/ingress-create.json",
			"{}", `"allowed":true`},
	} {
		module := bare(t, test.module)
		for _, flag := range [][]string{{"-e", mode}, {"-e" + mode}, {"--execution-mode", mode},
			{"--execution-mode=" + mode}} {
			got := call(t,
				append([]string{
					"run", "-r", policies + test.request, "--settings-json", test.settings, module,
				}, flag...)...)
			require.Equal(t, cli.ExitOK, got.code, got.err)
			require.Contains(t, got.out, test.want, flag)
			require.Empty(t, got.err)
		}
	}
}

// A module without metadata fails in any mode but its own. A Rego policy does not run at all unless
// its kind is given.
func TestRunInWrongMode(t *testing.T) {
	for name, test := range map[string]struct{ module, mode, err string }{
		"OPA without a mode": {opaPolicy, "",
			"The policy has been created with Rego, please specify which Opa runtime has to be used"},
		"Gatekeeper without a mode": {gatekeeperPolicy, "",
			"The policy has been created with Rego, please specify which Opa runtime has to be used"},
		"WASI without a mode": {program(t), "", "it is not a waPC guest"},
		"waPC as OPA":         {waPCPolicy, "opa", "it is not a Rego guest"},
		"waPC as Gatekeeper":  {waPCPolicy, "gatekeeper", "it is not a Rego guest"},
		"waPC as WASI":        {waPCPolicy, "wasi", "it is not a WASI guest"},
		"WASI as waPC":        {program(t), "kubewarden-wapc", "it is not a waPC guest"},
		"OPA as waPC": {opaPolicy, "kubewarden",
			"which the host does not provide to waPC guests"},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := []string{
				"run",
				"-r",
				policies + "pod-privileged/testdata/pod-delete.json",
				bare(t, test.module),
			}
			if test.mode != "" {
				arguments = append(arguments, "-e", test.mode)
			}
			got := call(t, arguments...)
			require.Equal(t, cli.ExitProblem, got.code)
			require.Empty(t, got.out)
			require.Contains(t, got.err, "Error: loading ")
			require.Contains(t, got.err, test.err)
		})
	}
}

// The mode on the command line overrides the mode in the metadata.
func TestRunInAnotherModeThanMetadata(t *testing.T) {
	got := call(t, "run", "-r", policies+"team-label/testdata/pod-create.json", "--settings-json",
		opaSettings, "-e", "gatekeeper", opaPolicy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out,
		`"allowed":false,"status":{"message":"internal server error: invalid response from policy: cannot interpret Gatekeeper policy result`)
}

// The response holds the patch operations that a Rego policy wrote.
func TestRunPrintsThePolicysPatch(t *testing.T) {
	for _, flags := range [][]string{nil, {"--raw"}} {
		got := call(t,
			append([]string{
				"run", "-r", policies + "team-label/testdata/pod-create.json", "--settings-json",
				opaSettings, opaPolicy,
			}, flags...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		var response struct {
			UID, PatchType, Patch string
			Allowed               bool
		}
		require.NoError(t, json.Unmarshal([]byte(got.out), &response))
		require.True(t, response.Allowed)
		require.Equal(t, "705ab4f5-6393-11e8-b7cc-42010a800002", response.UID)
		require.Equal(t, "JSONPatch", response.PatchType)
		patch, err := base64.StdEncoding.DecodeString(response.Patch)
		require.NoError(t, err)
		require.JSONEq(t,
			`[{"op":"add","path":"/metadata/annotations","value":{}},{"op":"add","path":"/metadata/annotations/example.com~1owner","value":"Ann"}]`,
			string(patch))
	}
}

// An OPA policy reads the cluster data of a recorded session.
func TestRunReplaysTheCluster(t *testing.T) {
	const labeling = policies + "label-from-namespace-rego/"
	exchange := func(request, payload string) string {
		return "- {type: Exchange, request: '" + request +
			"', response: {type: Success, payload: '" + payload + "'}}\n"
	}
	lists := exchange("!KubernetesListResourceAll {api_version: v1, kind: Namespace}",
		`{"items":[{"metadata":{"name":"shop","labels":{"owner":"recorded"}}}]}`)
	names := exchange("!KubernetesGetResourcePluralName {api_version: v1, kind: Namespace}",
		`"namespaces"`)
	const missing = "reading the policy's cluster inventory: Replay error: the list of recorded responses is empty"
	for session, want := range map[string][]string{
		lists + names: {`"allowed":true`, `"patchType":"JSONPatch"`},
		names + lists: {`"allowed":true`, `"patchType":"JSONPatch"`},
		lists:         {`"allowed":false`, missing},
		"":            {`"allowed":false`, missing},
	} {
		got := call(t, "run", "--allow-context-aware", "-r", labeling+"testdata/pod-create.json",
			"--settings-json", `{"label":"owner"}`, "--replay-host-capabilities-interactions",
			file(t, "session.yml", session), labeling+"policy.wasm")
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.NotContains(t, got.err, "Warning")
		for _, part := range want {
			require.Contains(t, got.out, part)
		}
	}
}

func TestRunRawInGatekeeper(t *testing.T) {
	got := call(t, "run", "--raw", "-r", bats+"raw.json", "--allow-context-aware", gatekeeperPolicy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.JSONEq(t,
		`{"uid":"","allowed":false,"status":{"message":"internal server error: Gatekeeper does not support raw validation requests","code":500},"auditAnnotations":null,"warnings":null}`,
		got.out)
}

// A policy that may not read the cluster as it wants to may misbehave.
func TestRunWarnsOfDeniedKinds(t *testing.T) {
	const warning = "Warning: the policy wants to read networking.k8s.io/v1/Ingress, but may not: to allow it, add --allow-context-aware\n"
	arguments := []string{
		"run", "-r", policies + "unique-ingress-host/testdata/ingress-create-taken.json",
		gatekeeperPolicy,
	}
	got := call(t, arguments...)
	require.Equal(t, cli.ExitOK, got.code)
	require.Equal(t, warning, got.err)
	require.Contains(t, got.out, `"allowed":true`)
	got = call(t,
		append(arguments, "--allow-context-aware", "--replay-host-capabilities-interactions",
			policies+"unique-ingress-host/testdata/inventory/session.yml")...)
	require.Equal(t, cli.ExitOK, got.code)
	require.NotContains(t, got.err, "Warning")
	require.Contains(t, got.out, `"allowed":false`)
}

func TestInspectOfEveryMode(t *testing.T) {
	type report struct {
		Convention string
		Imports    []string
		Rego       *struct {
			ABIVersion, Problem                    string
			Entrypoints, Builtins, MissingBuiltins []string
		}
	}
	inspect := func(module string) (r report) {
		for format, decode := range map[string]func([]byte, any) error{
			"json": json.Unmarshal,
			"yaml": func(text []byte, into any) error { return yaml.Unmarshal(text, into) },
		} {
			got := call(t, "inspect", "-o", format, module)
			require.Equal(t, cli.ExitOK, got.code, got.err)
			r = report{}
			require.NoError(t, decode([]byte(got.out), &r), format)
			require.NotEmpty(t, r.Imports, format)
		}
		return r
	}
	table := func(module string) string {
		got := call(t, "inspect", module)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		return got.out
	}

	r := inspect(opaPolicy)
	require.Equal(t, "rego", r.Convention)
	require.Equal(t, "1.3", r.Rego.ABIVersion)
	require.Equal(t, []string{"policy/main"}, r.Rego.Entrypoints)
	require.Equal(t, []string{"sprintf"}, r.Rego.Builtins)
	require.Empty(t, r.Rego.MissingBuiltins)
	require.Regexp(t,
		`Made for: +the Open Policy Agent's ABI 1.3\nEntrypoints: +policy/main\nBuilt-in functions: +sprintf\nFeatures`,
		table(opaPolicy))
	require.Equal(t, []string{"policy/violation"}, inspect(gatekeeperPolicy).Rego.Entrypoints)

	const unknown = "../../../../pkg/abi/rego/testdata/guest.wasm"
	r = inspect(unknown)
	require.Empty(t, r.Rego.ABIVersion)
	require.Equal(t, []string{"f"}, r.Rego.MissingBuiltins)
	require.Regexp(t, `Not provided: +f: no server loads it\n`, table(unknown))

	r = inspect(wasiPolicy)
	require.Equal(t, "wasi-command", r.Convention)
	require.Contains(t, r.Imports, "wasi_snapshot_preview1.fd_read(i32, i32, i32, i32) i32")
	require.Contains(t, r.Imports, "host.call(i32, i32, i32, i32, i32, i32, i32, i32) i32")
	require.Nil(t, r.Rego)
	require.Regexp(t, `Made for: +WASI, as a command`, table(wasiPolicy))

	require.Equal(t, "wapc", inspect(waPCPolicy).Convention)
	require.Regexp(t, `Made for: +waPC\n`, table(waPCPolicy))
	require.Regexp(t, `Made for: +no known convention for policies\n`,
		table("../../../../pkg/engine/internal/rewrite/testdata/bulk.wasm"))
}

// A module that only resembles Rego is still described.
func TestInspectOfBrokenRego(t *testing.T) {
	binary, err := os.ReadFile("../../../../pkg/engine/internal/rewrite/testdata/bulk.wasm")
	require.NoError(t, err)
	decoded, err := wasm.Decode(binary)
	require.NoError(t, err)
	decoded.Globals = []wasm.Global{{
		Init: wasm.I32Const(7), Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I32}},
	}}
	decoded.Exports = append(decoded.Exports,
		wasm.Export{Name: "opa_wasm_abi_version", Kind: wasm.ExternGlobal})
	got := call(t, "inspect", file(t, "policy.wasm", string(decoded.Encode())))
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Regexp(t,
		`Made for: +the Open Policy Agent's ABI 7\nEntrypoints: +unknown: .* it is not a Rego guest\n`,
		got.out)
}

func TestAnnotateRego(t *testing.T) {
	for mode, test := range map[string]struct{ module, err string }{
		"opa":        {opaPolicy, ""},
		"gatekeeper": {gatekeeperPolicy, ""},
		"kubewarden-wapc": {opaPolicy,
			"Wrong value inside of policy's metadata for 'executionMode'. This policy has been created using Rego"},
		"wasi": {gatekeeperPolicy,
			"Wrong value inside of policy's metadata for 'executionMode'. This policy has been created using Rego"},
		"opa ": {waPCPolicy,
			"Wrong value inside of policy's metadata for 'executionMode'. The policy has not been created using Rego"},
		"gatekeeper ": {wasiPolicy,
			"Wrong value inside of policy's metadata for 'executionMode'. The policy has not been created using Rego"},
	} {
		metadata := file(t, "metadata.yml", "executionMode: "+mode+"\nmutating: false\nrules: []\n")
		out := filepath.Join(t.TempDir(), "policy.wasm")
		got := call(t, "annotate", "-m", metadata, "-o", out, bare(t, test.module))
		if test.err == "" {
			require.Equal(t, cli.ExitOK, got.code, got.err)
			require.FileExists(t, out)
			continue
		}
		require.Equal(t, cli.ExitProblem, got.code, mode)
		require.Contains(t, got.err, test.err)
		require.NoFileExists(t, out)
	}
}

// A profile has the functions that burn fuel, and changes neither the answer nor the fuel.
func TestFuelProfileOfARun(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "fuel.folded")
	want := call(t, "run", "-r", request, privileged+"policy.wasm")
	got := call(t, "run", "-r", request, "--fuel-profile", profile, privileged+"policy.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Equal(t, want.out, got.out)
	require.Contains(t, got.err, "own fuel")
	text, err := os.ReadFile(profile)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^[^;]+;(function \d+;?)+ \d+$`, string(text))
}
