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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// kwctlRun lists the flags of kwctl run with their short forms. The tests in this package cover the
// effect of each flag, by its name.
var kwctlRun = map[string]string{
	"request-path": "r", "settings-path": "s", "settings-json": "", "execution-mode": "e",
	"raw": "", "allow-context-aware": "",
	"allowed-host-capabilities": "", "record-host-capabilities-interactions": "",
	"replay-host-capabilities-interactions": "",
	"disable-wasmtime-cache":                "", "sources-path": "", "docker-config-json-path": "",
	"verbose":          "v",
	"no-color":         "",
	"verification-key": "k", "verification-annotation": "a", "cert-email": "",
	"cert-oidc-issuer": "", "github-owner": "", "github-repo": "",
	"verification-config-path": "", "sigstore-trust-config": "",
}

func TestRunHasTheFlagsOfKwctl(t *testing.T) {
	root := cli.New("kwctl",
		&terminal.Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	run, _, err := root.Find([]string{"run"})
	require.NoError(t, err)
	for name, short := range kwctlRun {
		flag := run.Flag(name)
		require.NotNil(t, flag, name)
		require.Equal(t, short, flag.Shorthand, name)
	}
}

// Short flags have the same meaning as in kwctl. A policy must not run unverified because of a
// different meaning.
func TestShortVerificationFlags(t *testing.T) {
	key := file(t, "cosign.pub", signing.NewKey(t).PEM)
	for _, flags := range [][]string{{"-k", key}, {"-k", key, "-a", "env=prod"},
		{"-k", key, "-k", key, "-a", "env=prod", "-a", "stable=true"}, {"-k" + key}} {
		got := call(t,
			append([]string{
				"run", "-r", policies + "pod-privileged/testdata/pod-delete.json", waPCPolicy,
			}, flags...)...)
		require.Equal(t, cli.ExitProblem, got.code)
		require.Contains(t, got.err, "no signature meets allOf[0] of the verification flags")
		require.Empty(t, got.out)
	}
}

// Several patterns form one grant. Each pattern can be the one that matches.
func TestAllowedHostCapabilities(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m", bats+"metadata.yml", "-o", policy, guests+"host-call.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	for allowed, want := range map[string]string{
		"":                                 `"allowed":true`, // everything
		"*":                                `"allowed":true`,
		"kubernetes/*":                     `"allowed":true`,
		"oci/* kubernetes/get_resource":    `"allowed":true`,
		"kubernetes/get_resource net/*":    `"allowed":true`,
		"oci/* kubernetes/can_i":           "has not been granted access to the 'kubernetes/get_resource' host capability",
		"kubernetes/list_resources_all":    "has not been granted access to the 'kubernetes/get_resource' host capability",
		"oci/v1/verify oci/v2/verify":      "has not been granted access to the 'kubernetes/get_resource' host capability",
		"crypto/v1/is_certificate_trusted": "has not been granted access to the 'kubernetes/get_resource' host capability",
	} {
		arguments := []string{
			"run", "--allow-context-aware", "-r",
			policies + "pod-privileged/testdata/pod-delete.json",
			"--replay-host-capabilities-interactions", bats + "session.yml", policy,
		}
		for _, pattern := range strings.Fields(allowed) {
			arguments = append(arguments, "--allowed-host-capabilities", pattern)
		}
		got := call(t, arguments...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Contains(t, got.out, want, allowed)
	}
}

// A recording without a cluster records that there is no cluster.
func TestRecordWithoutACluster(t *testing.T) {
	directory := t.TempDir()
	policy, session := filepath.Join(directory, "policy.wasm"),
		filepath.Join(directory, "session.yml")
	got := call(t, "annotate", "-m", bats+"metadata.yml", "-o", policy, guests+"host-call.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	t.Setenv("KUBECONFIG", filepath.Join(directory, "none"))
	arguments := []string{
		"run", "--allow-context-aware", "-r", policies + "pod-privileged/testdata/pod-delete.json",
		policy,
	}
	live := call(t, append(arguments, "--record-host-capabilities-interactions", session)...)
	require.Equal(t, cli.ExitOK, live.code, live.err)
	require.Contains(t, live.out, "there is no usable kubeconfig")
	replayed := call(t, append(arguments, "--replay-host-capabilities-interactions", session)...)
	require.Equal(t, cli.ExitOK, replayed.code, replayed.err)
	require.Equal(t, live.out, replayed.out)

	got = call(t, append(arguments, "--record-host-capabilities-interactions", directory)...)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "is a directory")
}

// A named file must exist, even if no policy reads the cluster.
func TestKubeconfigIsThere(t *testing.T) {
	got := call(t, "run", "-r", policies+"pod-privileged/testdata/pod-delete.json", "--kubeconfig",
		"/none", policies+"no-latest-tag/policy.wasm")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "Error: --kubeconfig: stat /none: no such file or directory")
	require.Empty(t, got.out)
}

// annotate does not overwrite its other input files.
func TestAnnotateOverwritesNoInput(t *testing.T) {
	metadata, usage := file(t, "metadata.yml", "mutating: false\nrules: []\n"),
		file(t, "usage.md", "# Usage\n")
	linked := filepath.Join(t.TempDir(), "linked")
	require.NoError(t, os.Symlink(metadata, linked))
	for output, flag := range map[string]string{
		metadata: "metadata-path",
		linked:   "metadata-path",
		usage:    "usage-path",
	} {
		got := call(t, "annotate", "-m", metadata, "-u", usage, "-o", output, waPCPolicy)
		require.Equal(t, cli.ExitUsage, got.code, got.err)
		require.Contains(t, got.err, "--output-path would overwrite the file of --"+flag)
	}
	text, err := os.ReadFile(metadata)
	require.NoError(t, err)
	require.Equal(t, "mutating: false\nrules: []\n", string(text))
}

func TestDisableWasmtimeCache(t *testing.T) {
	compiled := func(flags ...string) []os.DirEntry {
		directory := t.TempDir()
		got := call(t,
			append([]string{
				"run", "--cache-directory", directory, "-r",
				policies + "pod-privileged/testdata/pod-delete.json", waPCPolicy,
			}, flags...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		entries, err := os.ReadDir(filepath.Join(directory, "compiled"))
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		return entries
	}
	require.NotEmpty(t, compiled())
	require.Empty(t, compiled("--disable-wasmtime-cache"))
}

// Kubewarden's configuration files decide from where a module may be fetched.
func TestSourcesOfModules(t *testing.T) {
	server := httptest.NewTLSServer(http.FileServer(http.Dir(policies)))
	t.Cleanup(server.Close)
	run := func(uri string, flags ...string) result {
		return call(t,
			append([]string{
				"run",
				"--cache-directory",
				t.TempDir(),
				"-r",
				policies + "pod-privileged/testdata/pod-create-privileged.json",
				uri,
			}, flags...)...)
	}
	uri := server.URL + "/pod-privileged/policy.wasm"
	got := run(uri)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "certificate")
	got = run(uri, "--sources-path",
		file(t, "sources.yml", "insecure_sources: ['"+strings.TrimPrefix(server.URL, "https://")+
			"']\n"))
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, `"allowed":false`)
	got = run(uri, "--sources-path", "/none.yml")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "/none.yml")

	docker := filepath.Dir(file(t, "config.json", `{"credsStore":"desktop"}`))
	got = run("registry://localhost:1/policy:v1", "--docker-config-json-path", docker)
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "names credential helpers")
}

// Flags that duplicate fields of a manifest file are refused. Under the name kwctl, they are
// ignored, as kwctl does.
func TestManifestsRefuseSettings(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	require.NoError(t, err)
	text, err := os.ReadFile(bats + "policies.yaml")
	require.NoError(t, err)
	manifests := file(t, "policies.yml", strings.ReplaceAll(string(text), "ROOT", root))
	arguments := []string{
		"run", "-r", policies + "pod-privileged/testdata/pod-create-privileged.json", manifests,
	}
	plain := call(t, arguments...)
	require.Equal(t, cli.ExitOK, plain.code, plain.err)
	require.Equal(t, 4, strings.Count(plain.out, "\n"))
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--settings-json", `{"nonsense":1}`},
			"--settings-json: the settings come from the file of manifests (spec.settings): remove the flag, or name the module"},
		{[]string{"--settings-json", ""}, "--settings-json: the settings come from the file"},
		{[]string{"-s", "/none"}, "--settings-path: the settings come from the file"},
		{[]string{
			"-e", "gatekeeper",
		},
			"--execution-mode: the execution mode of a policy in a file of manifests comes from its module"},
		{[]string{"--allow-context-aware"},
			"--allow-context-aware: the kinds that a policy may read come from the file"},
		{[]string{"--allowed-host-capabilities", "oci/*"},
			"--allowed-host-capabilities: the host capabilities of a policy"},
	} {
		got := call(t, append(arguments, test.flags...)...)
		require.Equal(t, cli.ExitUsage, got.code, got.err)
		require.Contains(t, got.err, "Error: "+test.want)
		require.Empty(t, got.out)

		got = callAs(t, "kwctl", append(arguments, test.flags...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Equal(t, plain.out, got.out)
		name, why, _ := strings.Cut(test.want, ": ")
		why, _, _ = strings.Cut(why, ":")
		require.Contains(t, got.err, "Warning: "+name+" is ignored: "+why)
	}
}

// A policy for raw requests receives them without a flag.
func TestRawByMetadata(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m",
		file(t, "metadata.yml", "mutating: false\nrules: []\npolicyType: raw\n"), "-o", policy,
		guests+"answer.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	got = call(t, "run", "-r", bats+"raw.json", "--settings-json", `{"accepted":true}`, policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, `{"uid":"","allowed":true`)
}

// Shells can complete the values of flags.
func TestCompletion(t *testing.T) {
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"ru"}, "run"},
		{[]string{"run", "--replay"}, "--replay-host-capabilities-interactions"},
		{[]string{"run", "-e", ""}, "gatekeeper\nkubewarden\nkubewarden-wapc\nopa\nwasi\n"},
		{[]string{"run", "-o", "y"}, "yaml"},
		{[]string{"test", "--output", "ju"}, "junit"},
		{[]string{"inspect", "-o", ""}, "table\njson\nyaml\n"},
		{[]string{"lint", "-o", ""}, "table\njson\nyaml\n"},
	} {
		got := call(t, append([]string{"__complete"}, test.arguments...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Contains(t, got.out, test.want, test.arguments)
	}
	require.Contains(t, call(t, "__complete", "run", "-e", "").out, ":4\n", "no names of files")
}

func TestJUnitOnStandardOutput(t *testing.T) {
	for _, flags := range [][]string{{"--junit", "-"}, {"-o", "junit"}} {
		got := call(t, append([]string{"test", policies + "no-latest-tag"}, flags...)...)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.True(t, strings.HasPrefix(got.out, "<?xml "), got.out)
		require.Contains(t, got.out, ` failures="0" errors="0"`)
		require.True(t, strings.HasSuffix(got.out, "</testsuites>\n"))
	}
	got := call(t, "test", "--junit", "/none/report.xml", policies+"no-latest-tag")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err, "/none/report.xml")
}
