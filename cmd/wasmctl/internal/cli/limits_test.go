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
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

const limitsHead = "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\nlimits: "

func TestLimits(t *testing.T) {
	const stack = "at most 65536 are allowed: raise limits.stack"
	request := policies + "pod-privileged/testdata/pod-delete.json"
	recursive := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m", bats+"metadata.yml", "-o", recursive,
		guests+"stack-overflow.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	for name, test := range map[string]struct {
		policy, limits string
		flags          []string
		want           string
	}{
		"default": {recursive, "", nil,
			"at most 6291456 are allowed: raise limits.stack"},
		"stack of the file": {recursive, limitsHead + "{stack: 64Ki}", nil, stack},
		"stack of the flag": {recursive, limitsHead + "{stack: 1Mi}",
			[]string{"--stack", "64Ki"}, stack},
		"admission configuration": {recursive,
			"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{name: WasmAdmission, configuration: {apiVersion: wasm.admission.config.k8s.io/v1alpha1, kind: WasmAdmissionConfiguration, limits: {stack: 64Ki}}}]",
			nil, stack},
		"policies that are not there": {recursive,
			limitsHead + "{stack: 64Ki}\npolicyDirectory: /none", nil, stack},
		"fuel": {guests + "spin.wasm", "", []string{"--fuel", "1M"},
			"at most 1000000 are allowed: raise limits.fuel"},
		"memory": {guests + "memory-hog.wasm", "",
			[]string{"--memory", "2Mi"}, "raise limits.memory"},
		"size": {waPCPolicy, "", []string{"--module-size", "1Ki"},
			"raise --module-size, or limits.moduleSize in the file of --limits"},
		"time of the file": {guests + "spin.wasm",
			limitsHead + "{evaluationTimeout: 10ms}", nil,
			"raise --timeout, or limits.evaluationTimeout in the file of --limits"},
		"more memory than of all": {waPCPolicy, "", []string{"--memory", "4Gi"},
			`"allowed":true`},
		"unknown field": {waPCPolicy, limitsHead + "{stak: 64Ki}", nil,
			`unknown field "limits.stak"`},
		"value of the file": {waPCPolicy, limitsHead + "{stack: 1Ki}", nil,
			"limits.stack: Invalid value: 1024: must be between 64Ki and 512Mi"},
		"value of the flag": {waPCPolicy, "", []string{"--stack", "1Ki"},
			"limits.stack: Invalid value: 1024: must be between 64Ki and 512Mi"},
		"no quantity": {waPCPolicy, "", []string{"--stack", "much"},
			`--stack: "much" is not a quantity: write one such as 8Mi or 20G`},
		"too much for an integer": {waPCPolicy, "", []string{"--fuel", "-1"},
			"limits.fuel: Invalid value: -1"},
		"no entry for the plugin": {waPCPolicy,
			"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: []",
			nil, `no entry under plugins is called "WasmAdmission"`},
		"file with nothing of the two": {waPCPolicy, "{}", nil, "apiVersion is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := append([]string{
				"run", "-r", request, "-e", "kubewarden-wapc", test.policy,
			}, test.flags...)
			if test.limits != "" {
				arguments = append(arguments, "--limits", file(t, "limits.yaml", test.limits))
			}
			got := call(t, arguments...)
			require.Contains(t, got.out+got.err, test.want)
		})
	}
}

// Every line of an error about limits names the file or the flag that they come from.
func TestProblemsOfLimits(t *testing.T) {
	run := []string{
		"run", "-r", policies + "pod-privileged/testdata/pod-delete.json",
		policies + "no-latest-tag/policy.wasm",
	}
	path := file(t, "limits.yaml", limitsHead+"{stack: 1, fuel: 1}")
	got := call(t, append(run, "--limits", path)...)
	require.Equal(t, cli.ExitProblem, got.code, "as of other files")
	require.Contains(t, got.err, "Error: --limits: "+path+": limits.stack: Invalid value: 1")
	require.Contains(t, got.err, "\n--limits: "+path+": limits.fuel: Invalid value: 1")
	got = call(t,
		append(run, "--stack", "1", "--fuel", "1", "--memory", "1", "--module-size", "2Gi")...)
	require.Equal(t, cli.ExitUsage, got.code)
	for _, flag := range []string{
		"--stack: limits.stack: ", "--fuel: limits.fuel: ", "--memory: limits.memory: ",
		"--module-size: limits.moduleSize: ",
	} {
		require.Regexp(t, "(?m)^(Error: )?"+flag+"Invalid value", got.err)
	}
	got = call(t,
		append(run, "--limits",
			file(t, "limits.yaml", limitsHead+"{evaluationTimeout: 5, requestTimeout: -1}"))...)
	require.Contains(t, got.err,
		"limits.evaluationTimeout: number does not fit: write a time with its unit, such as 5s\n")
	require.Contains(t, got.err,
		"limits.requestTimeout: number does not fit: write a time with its unit, such as 5s\n")
}

// The error about a module that is too large states its true size.
func TestModuleSizeIsTheTrueOne(t *testing.T) {
	info, err := os.Stat(waPCPolicy)
	require.NoError(t, err)
	got := call(t, "inspect", waPCPolicy, "--module-size", "1Ki")
	require.Equal(t, cli.ExitProblem, got.code)
	require.Contains(t, got.err,
		fmt.Sprintf("limit exceeded: %d bytes of module, at most 1024 are allowed", info.Size()))
}

// The other commands that load modules have the same limits.
func TestLimitsOfOtherCommands(t *testing.T) {
	limits := file(t, "limits.yaml", limitsHead+"{moduleSize: 1Ki}")
	for name, arguments := range map[string][]string{
		"test":    {"test", policies + "no-latest-tag"},
		"inspect": {"inspect", waPCPolicy},
		"annotate": {"annotate", "-m", bats + "metadata.yml", "-o",
			filepath.Join(t.TempDir(), "policy.wasm"), waPCPolicy},
	} {
		got := call(t, append(arguments, "--limits", limits)...)
		require.Equal(t, cli.ExitProblem, got.code, name)
		require.Contains(t, got.out+got.err, "at most 1024 are allowed: raise --module-size", name)
	}
}

// inspect shows whether a module fits the given limits, however they are given.
func TestInspectWithLimits(t *testing.T) {
	large := file(t, "large.wasm",
		string((&wasm.Module{Memories: []wasm.Limits{{Min: 4096}}}).Encode()))
	config := func(memory string) string {
		return file(t, "config.yaml", limitsHead+"{memory: "+memory+"}")
	}
	const refused = "at most 134217728 are allowed"
	for name, test := range map[string]struct {
		flags         []string
		memory, lacks string
		refused       string
	}{
		"default": {nil, "at most 131072 KiB by limits.memory", "", refused},
		"flag": {[]string{"--memory", "512Mi"}, "at most 524288 KiB by limits.memory",
			"refused", ""},
		"file": {[]string{"--limits", config("256Mi")},
			"at most 262144 KiB by limits.memory", "refused", ""},
		"lower": {[]string{"--limits", config("1Mi")}, "at most 1024 KiB by limits.memory",
			"", "at most 1048576 are allowed"},
		"flag and file": {[]string{"--limits", config("1Mi"), "--memory", "256Mi"},
			"at most 262144 KiB by limits.memory", "refused", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"inspect", large}, test.flags...)...)
			require.Equal(t, cli.ExitOK, got.code, got.err)
			require.Contains(t, got.out, test.memory)
			require.Contains(t, got.out, test.refused)
			if test.lacks != "" {
				require.NotContains(t, got.out, test.lacks)
			}
		})
	}
	// All limits of a file count.
	tables := file(t, "tables.wasm", string((&wasm.Module{Tables: []wasm.Table{
		{Type: wasm.TableType{
			Element: wasm.ValueType{Code: wasm.FuncRef},
			Limits:  wasm.Limits{Min: 2 << 20},
		}},
	}}).Encode()))
	require.Contains(t, call(t, "inspect", tables).out,
		"raise limits.tableEntries in the file of --limits")
	require.NotContains(t,
		call(t, "inspect", tables, "--limits",
			file(t, "config.yaml", limitsHead+"{tableEntries: 4194304}")).out, "refused")
}

// An error in a server's terms is repeated with the command's flags.
func TestRemediesNameFlags(t *testing.T) {
	for flag, arguments := range map[string][]string{
		"raise --fuel, or limits.fuel in the file of --limits": {"--fuel", "1M",
			guests + "spin.wasm"},
		"raise --memory, or limits.memory in the file of --limits": {"--memory", "2Mi",
			guests + "memory-hog.wasm"},
		"raise --timeout, or limits.evaluationTimeout in the file of": {"--timeout", "10ms",
			guests + "spin.wasm"},
	} {
		got := call(t,
			append([]string{"run", "--raw", "-r", file(t, "request.json", "{}")}, arguments...)...)
		require.Contains(t, got.err, flag)
	}
}
