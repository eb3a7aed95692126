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
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// cache is the directory in which all tests keep compiled code.
var cache string

func TestMain(m *testing.M) {
	engine.ServeCompilations()
	os.Exit(func() int {
		var err error
		if cache, err = os.MkdirTemp("", "wasmctl-test-"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(cache) }()
		return m.Run()
	}())
}

const (
	policies = "../../../../test/policies/"
	guests   = "../../../../test/wat/"
	bats     = "../../../../test/bats/testdata/"
)

// result is the outcome of a command line.
type result struct {
	code     int
	out, err string
}

func call(t *testing.T, arguments ...string) result {
	t.Helper()
	return callWith(t, "", arguments...)
}

func callWith(t *testing.T, stdin string, arguments ...string) result {
	t.Helper()
	return callNamed(t, "wasmctl", stdin, arguments...)
}

// callAs runs the command under another name.
func callAs(t *testing.T, name string, arguments ...string) result {
	t.Helper()
	return callNamed(t, name, "", arguments...)
}

func callNamed(t *testing.T, name, stdin string, arguments ...string) result {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", cache)
	var out, stderr bytes.Buffer
	code := cli.Main(t.Context(), name, arguments,
		&terminal.Streams{In: strings.NewReader(stdin), Out: &out, Err: &stderr})
	return result{code, out.String(), stderr.String()}
}

// file writes a file and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestUsage(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		err       string
	}{
		"unknown command": {[]string{"walk"}, `unknown command "walk" for "wasmctl"`},
		"unknown flag":    {[]string{"run", "--walk"}, "unknown flag: --walk"},
		"no policy": {[]string{"run", "-r", "x"},
			"POLICY is missing: name the path or URI of a module, or a file of manifests"},
		"no request": {[]string{"run", "p"}, "--request-path is required"},
		"bad duration": {[]string{"run", "--timeout", "soon", "p"},
			`invalid argument "soon" for "--timeout"`},
		"no time": {[]string{"run", "-r", "x", "--timeout", "0", "p"},
			"--timeout: 0s is too short for an evaluation"},
		"negative time": {[]string{"test", "--timeout", "-1s", "p"},
			"--timeout: -1s is too short for an evaluation"},
		"two policies": {[]string{"run", "-r", "x", "p", "q"},
			`only one POLICY is allowed, but there is also "q"`},
		"no module":       {[]string{"inspect"}, "MODULE is missing"},
		"module to write": {[]string{"annotate"}, "MODULE is missing"},
		"bad format": {[]string{"run", "-r", "x", "-o", "xml", "p"},
			`there is no format "xml": write one of json, yaml, table`},
		"record, replay": {[]string{
			"run", "-r", "x", "--record-host-capabilities-interactions", "a",
			"--replay-host-capabilities-interactions", "b", "p",
		}, "either recorded or replayed"},
		"replay, cluster": {[]string{
			"run", "-r", "x", "--kubeconfig", "a", "--replay-host-capabilities-interactions", "b",
			"p",
		}, "--kubeconfig: a replay answers from its file and asks no cluster"},
		"no cases":         {[]string{"test"}, "PATH is missing"},
		"nothing to lint":  {[]string{"lint"}, "name a configuration"},
		"no metadata":      {[]string{"annotate", "-o", "q", "p"}, "--metadata-path is required"},
		"nothing to write": {[]string{"annotate", "-m", "q", "p"}, "--output-path is required"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, test.arguments...)
			require.Equal(t, cli.ExitUsage, got.code, got.err)
			require.Contains(t, got.err, "Error: ")
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
	require.Equal(t, cli.ExitOK, call(t, "--help").code)
}

func TestRun(t *testing.T) {
	const (
		latest  = policies + "no-latest-tag/testdata/pod-create-latest.json"
		deleted = policies + "pod-privileged/testdata/pod-delete.json"
		tail    = `,"auditAnnotations":null,"warnings":null}` + "\n"
	)
	settings := file(t, "settings.yaml",
		"{accepted: false, message: \"<no>\", code: 418, warnings: [w], audit_annotations: {a: b}}")
	for name, test := range map[string]struct {
		arguments []string
		code      int
		out, err  string
	}{
		"allowed": {[]string{"-r", deleted, policies + "no-latest-tag/policy.wasm"}, 0,
			`{"uid":"32cfe6c1-9200-b67a-fb7c-3d0e1c43eadb","allowed":true` + tail, ""},
		"rejected": {[]string{"-r", latest, policies + "no-latest-tag/policy.wasm"}, 0,
			`"allowed":false,"status":{"message":"image 'ghcr.io/acme/web:latest' must have a tag other than 'latest', or a digest"}` +
				tail,
			""},
		"settings": {[]string{"-r", deleted, "-s", settings, guests + "answer.wasm"}, 0,
			`"allowed":false,"status":{"message":"<no>","code":418},"auditAnnotations":{"a":"b"},"warnings":["w"]}` +
				"\n",
			""},
		"null": {[]string{
			"-r", deleted, "--settings-json", "null", policies + "no-latest-tag/policy.wasm",
		}, 0, `"allowed":true`, ""},
		"escapes": {[]string{
			"-r", deleted, "--settings-json", `{"accepted":true,"message":"a\/b 9007199254740993"}`,
			guests + "answer.wasm",
		}, 0, `"message":"a/b 9007199254740993"`, ""},
		"bad settings": {[]string{
			"-r", deleted, "--settings-json", `{"registries":[]}`,
			policies + "no-latest-tag/policy.wasm",
		}, 1, "", "Error: Provided settings are not valid: this policy has no settings"},
		"no settings": {[]string{
			"-r", deleted, "--settings-json", `[1]`, policies + "no-latest-tag/policy.wasm",
		}, 1, "", "Error: --settings-json: the settings are not an object"},
		"two settings": {[]string{
			"-r", deleted, "--settings-json", `{}`, "-s", settings,
			policies + "no-latest-tag/policy.wasm",
		}, 2, "", "exclude each other"},
		"mode": {[]string{"-r", deleted, "-e", "x", policies + "no-latest-tag/policy.wasm"},
			2, "", `Unknown policy execution mode "x"`},
		"pattern": {[]string{
			"-r", deleted, "--allowed-host-capabilities", "oci",
			policies + "no-latest-tag/policy.wasm",
		}, 2, "", `host capability pattern "oci"`},
		"no module": {[]string{"-r", deleted, "/none.wasm"}, 1, "",
			"Error: there is no file /none.wasm: give a path or a URI"},
		"a digest": {[]string{"-r", deleted, "0123abcd"}, 1, "",
			"Cannot find policy '0123abcd'"},
		"not a module": {[]string{"-r", deleted, deleted}, 1, "",
			"not a WebAssembly module: magic number"},
		"no request": {[]string{"-r", "/none.json", policies + "no-latest-tag/policy.wasm"}, 1,
			"", "Error: reading the request: open /none.json"},
		"not one": {[]string{"-r", settings, policies + "no-latest-tag/policy.wasm"}, 1, "",
			"settings.yaml: the request is neither an AdmissionRequest nor an object: it has no apiVersion and no kind: write apiVersion and kind"},
		"no session": {[]string{
			"-r", deleted, "--replay-host-capabilities-interactions", "/none",
			guests + "host-call.wasm",
		}, 1, "", "open /none"},
		"no manifests": {[]string{"-r", deleted, bats + "settings.yml"}, 1, "",
			"apiVersion: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"run"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.out, test.out)
			require.Equal(t, test.out == "", got.out == "", got.out)
			require.Contains(t, got.err, test.err)
			require.Equal(t, test.err == "", got.err == "", got.err)
		})
	}
}

func TestRunReadsStandardInput(t *testing.T) {
	request, err := os.ReadFile(bats + "review.json")
	require.NoError(t, err)
	got := callWith(t, string(request), "run", "-r", "-", policies+"no-latest-tag/policy.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.JSONEq(t,
		`{"uid":"1299d386-525b-4032-98ae-1949f69f9cfc","allowed":true,"auditAnnotations":null,"warnings":null}`,
		got.out)
}

func TestRunFormats(t *testing.T) {
	arguments := []string{
		"run", "-r", policies + "no-latest-tag/testdata/pod-create-latest.json",
		policies + "no-latest-tag/policy.wasm", "-o",
	}
	got := call(t, append(arguments, "yaml")...)
	require.Equal(t, cli.ExitOK, got.code)
	require.Contains(t, got.out, "---\nallowed: false\n")
	got = call(t, append(arguments, "table")...)
	require.Equal(t, cli.ExitOK, got.code)
	require.Contains(t, got.out,
		"VERDICT  rejected\nMESSAGE  image 'ghcr.io/acme/web:latest' must have a tag other than 'latest', or a digest\n")
}

// A policy's log is always shown. The log of loading it is shown only on request.
func TestRunLogs(t *testing.T) {
	arguments := []string{
		"run", "-r", policies + "pod-privileged/testdata/pod-delete.json",
		guests + "host-call.wasm",
	}
	got := call(t, arguments...)
	require.Equal(t, cli.ExitOK, got.code)
	require.NotContains(t, got.err, "Loaded policy")
	got = call(t, append(arguments, "-v")...)
	require.Contains(t, got.err, "Loaded policy")
	require.Contains(t, got.err, "Evaluated")
}

// A policy without metadata can be run, although no host would serve it.
func TestRunWithoutMetadata(t *testing.T) {
	const request = policies + "pod-privileged/testdata/pod-delete.json"
	got := call(t, "run", "-r", request, "../../../../pkg/abi/wapc/testdata/guest.wasm")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "Provided settings are not valid", "it was loaded, and asked")

	got = call(t, "run", "-r", request, "-e", "opa", guests+"host-call.wasm")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "it is not a Rego guest")
}

// WASI and Rego policies can be tested like any other, including the cluster data that they read.
func TestTestOfEveryMode(t *testing.T) {
	got := call(t, "test", policies+"inherit-owner", policies+"team-label",
		policies+"unique-ingress-host", policies+"label-from-namespace-rego",
		policies+"label-from-namespace-rust")
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	require.Contains(t, got.out, "36 cases, 0 failed")
}

func TestTest(t *testing.T) {
	got := call(t, "test", policies+"no-latest-tag", policies+"always-pull")
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	require.Contains(t, got.out, "23 cases, 0 failed")

	got = call(t, "test", "--only", "pod-create-latest", policies+"no-latest-tag")
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	require.Contains(t, got.out, "1 case, 0 failed")

	got = call(t, "test", "--only", "nothing", policies+"no-latest-tag")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, `no case has "nothing" in its name`)
}

func TestTestFails(t *testing.T) {
	policy, err := filepath.Abs(policies + "always-pull")
	require.NoError(t, err)
	cases := file(t, "cases.yaml", `
policy: `+policy+`/policy.wasm
cases:
- {name: wrong, request: `+policy+`/testdata/pod-create.json, expect: {allowed: false, unchanged: true}}
- {name: same, request: `+policy+`/testdata/pod-create.json, expect: {allowed: true, unchanged: true}}
- {name: broken, request: `+policy+`/metadata.yml, expect: {allowed: true}}
`)
	junit := filepath.Join(t.TempDir(), "report.xml")
	got := call(t, "test", "--junit", junit, cases)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.out, "verdict\n    expected: rejected\n    got:      allowed\n")
	require.Contains(t, got.out,
		`/spec/containers/0/imagePullPolicy: expected nothing, got "Always"`)
	require.Contains(t, got.out,
		"always-pull/metadata.yml: the request is neither an AdmissionRequest nor an object: it has no apiVersion and no kind")
	require.Contains(t, got.out, "3 cases, 3 failed")
	report, err := os.ReadFile(junit)
	require.NoError(t, err)
	require.Contains(t, string(report), `tests="3" failures="2" errors="1"`)

	got = call(t, "test", "-o", "json", cases)
	require.Equal(t, cli.ExitProblem, got.code)
	var results []map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.out), &results))
	require.Equal(t, "failed", results[0]["result"])
	require.Equal(t, "error", results[2]["result"])

	got = call(t, "test", "-o", "junit", cases)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.out, "<testsuites>")
}

// If a test case names a session, the session answers its host calls. The case must ask for all of
// its exchanges.
func TestTestReplays(t *testing.T) {
	directory := t.TempDir()
	policy := filepath.Join(directory, "policy.wasm")
	got := call(t, "annotate", "-m", bats+"metadata.yml", "-o", policy, guests+"host-call.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	session, err := filepath.Abs(bats + "session.yml")
	require.NoError(t, err)
	other, err := filepath.Abs(bats + "other.yml")
	require.NoError(t, err)
	request, err := filepath.Abs(policies + "pod-privileged/testdata/pod-delete.json")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(directory, "cases.yaml"), []byte(`
cases:
- {name: recorded, request: `+request+`, session: `+session+`, expect: {allowed: true}}
- {name: another, request: `+request+`, session: `+other+`, expect: {allowed: false, messageContains: "Replay error: unexpected request"}}
- {name: none, request: `+request+`, expect: {allowed: false, messageContains: has not been granted access}}
`), 0o600))
	got = call(t, "test", directory)
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
}

func TestInspect(t *testing.T) {
	got := call(t, "inspect", "-o", "json", guests+"host-call.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", report["digest"])
	require.Equal(t, []any{"kubernetes/get_resource"}, report["hostCapabilities"])
	require.Equal(t, []any{"bulk-memory"}, report["features"])
	require.Equal(t, true, report["resettable"])

	require.Contains(t, got.out, `"compilation"`)
	got = call(t, "inspect", guests+"host-call.wasm")
	require.Contains(t, got.out, "Cost of compilation:")
	require.Regexp(t, `basic blocks +\d+ of 262144 +\d+% +function \d+`, got.out)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, "  wapc.__host_error_len() i32\n")

	got = call(t, "inspect", bats+"raw.json")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "magic number")
}

func TestLint(t *testing.T) {
	module, err := filepath.Abs(policies + "no-latest-tag/policy.wasm")
	require.NoError(t, err)
	const head = "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"
	good := file(t, "config.yaml", head+"policies: [{name: tags, module: 'file://"+module+"'}]\n")
	got := call(t, "lint", good)
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	require.Contains(t, got.out, "A server would start: 1 policy, 0 warnings")
	require.Contains(t, got.out, "tags    protect  false")

	bad := file(t, "config.yaml", head+"policies: [{name: tags, module: file:///none.wasm}]\n")
	got = call(t, "lint", "-o", "json", bad)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Empty(t, got.err)
	var report struct{ Problems []string }
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.Len(t, report.Problems, 1)
	require.Contains(t, report.Problems[0], "policies[tags].module")

	got = call(t, "lint",
		file(t, "break-glass.yaml",
			"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nreason: a\npolicies: ['*']\nuntil: 2026-01-02T03:04:05Z\n"))
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.out, "has passed: write a later time")
	require.Contains(t, got.out, "A server would not obey the file: 1 problem")
	got = call(t, "lint",
		file(t, "break-glass.yaml",
			"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nreason: a\npolicies: ['*']\nuntil: "+
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+"\n"))
	require.Equal(t, cli.ExitOK, got.code, got.out+got.err)
	require.Contains(t, got.out, "A server would obey the file")

	got = call(t, "lint", "--against", "/none", good)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "reading the kubeconfig")
}

func TestAnnotateWarns(t *testing.T) {
	metadata := file(t, "metadata.yml",
		"mutating: false\nrules: []\nhostCapabilities: [oci/v1/verify]\n")
	usage := file(t, "usage.md", "# Use it")
	out := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m", metadata, "-u", usage, "-o", out, guests+"host-call.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err,
		"seems to call capabilities that are not listed: kubernetes/get_resource")
	require.Contains(t, got.err,
		"does not seem to call capabilities that are listed: oci/v1/verify")
	got = call(t, "inspect", "-o", "yaml", out)
	require.Contains(t, got.out, "io.kubewarden.policy.usage: '# Use it'")

	got = call(t, "annotate", "-m", metadata, "-o", out, guests+"trap.wasm")
	require.Equal(t, cli.ExitOK, got.code, "it answers protocol_version: "+got.err)
	got = call(t, "annotate", "-m", metadata, "-o", out, bats+"raw.json")
	require.Equal(t, cli.ExitProblem, got.code)
}
